package backend

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Resumer is a Sink whose store knows a resend of another process, too. Package relay cuts batches only by the source
// of their records. So with a Resumer each record is stored once, however often the process is killed.
type Resumer interface {
	Sink

	// Resume makes an appender that goes on for a name where an earlier appender was stopped: its batch 0 is batch
	// from.Seq of the name.
	//
	// If a batch is stored under its number already, the batch is acknowledged and not stored again. Several appenders of
	// a name may be alive: of two batches with the same number the first to arrive is stored. Both must hold the same
	// records; where the store notices a difference, the second batch is [ErrConflict]. Sometimes the store cannot tell a
	// resend from a new batch any more, for example because the store has forgotten the name. Then the batch is refused
	// with an error that is neither [ErrTransient] nor [ErrIndeterminate].
	//
	// The store must be told origin again when the batches of this appender come again: keep origin before the first
	// batch is sent. origin is from.Origin where from.Sent is more than from.Seq, and may be another origin otherwise.
	Resume(ctx context.Context, f Format, from Resumption) (a Appender, origin string, err error)
}

// A Resumption says how far the appenders of a name have come. The zero value with a name is the beginning.
type Resumption struct {
	Name    string // of the producer, in all its processes: 1 to 256 bytes of UTF-8 without control characters
	Seq     uint64 // how many batches of the name are acknowledged
	Records uint64 // how many records those batches have
	Sent    uint64 // how many batches may be stored, Seq at least
	Origin  string // what the last Resume returned
}

// resumptionName is the longest name: DNS names and keys of checkpoints fit in.
const resumptionName = 256

// Check is for authors of a [Resumer]: it returns the reason to refuse r, or nil.
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
