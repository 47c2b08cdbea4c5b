package backend

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Resumer is a Sink whose store knows a resend also when another process sends it. Where the batches follow from the source of their
// records, as in package relay, each record is then stored once, however often the process is killed.
type Resumer interface {
	Sink

	// Resume makes the appender that goes on for a name where an earlier one was stopped: its batch 0 is batch from.Seq of the name.
	//
	// A batch that is stored under its number already is acknowledged and not stored again. Several appenders of one name may be alive:
	// of two batches with one number the first to arrive is stored. They must hold the same records; where the store sees that they do
	// not, the second is [ErrConflict]. Where the store cannot tell a resend from a new batch any more, because it has forgotten the name,
	// for example, the batch is refused with an error that is neither [ErrTransient] nor [ErrIndeterminate].
	//
	// origin is what the store must be told again when the batches of this appender come again: keep it before the first of them is
	// sent. It is from.Origin where from.Sent is more than from.Seq, and may be another one otherwise.
	Resume(ctx context.Context, f Format, from Resumption) (a Appender, origin string, err error)
}

// A Resumption says how far the appenders of a name have come. The zero one, with a name, is the beginning.
type Resumption struct {
	Name    string // of the producer, in all its processes: 1 to 256 bytes of UTF-8 without control characters
	Seq     uint64 // how many batches of the name are acknowledged
	Records uint64 // how many records those batches have
	Sent    uint64 // how many batches may be stored, Seq at least
	Origin  string // what the last Resume returned
}

// resumptionName is the longest name: DNS names and keys of checkpoints fit in.
const resumptionName = 256

// Check is for authors of a [Resumer]: it returns why no store takes r, or nil.
func (r Resumption) Check() error {
	switch {
	case r.Name == "" || len(r.Name) > resumptionName:
		return fmt.Errorf("%w: a producer's name of %d bytes, want 1 to %d", ErrRejected, len(r.Name), resumptionName)
	case !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, unicode.IsControl):
		return fmt.Errorf("%w: the producer's name %q is not UTF-8 without control characters", ErrRejected, r.Name)
	case r.Sent < r.Seq || r.Sent >= 1<<53: // what fits a number of JSON and a signed column
		return fmt.Errorf("%w: producer %q has sent %d batches of which %d are acknowledged", ErrRejected, r.Name, r.Sent, r.Seq)
	}
	return nil
}
