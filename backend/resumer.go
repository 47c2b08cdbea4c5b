package backend

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Resumer is a Sink whose store recognizes a resend of another process, too. Package relay needs a Resumer: after a kill, the
// next relay sends the same records in the same batches under the same numbers, and the store keeps each record once.
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
	// origin is what the store must be told in Resumption.Origin when another appender sends the batches of this appender
	// again. So the caller saves origin before the caller sends the first batch. origin is from.Origin where from.Sent is more
	// than from.Seq, and may be another origin otherwise.
	Resume(ctx context.Context, f Format, from Resumption) (a Appender, origin string, err error)
}

// A Resumption says how far the appenders of a name have come. The zero value with a name is the beginning.
type Resumption struct {
	Name    string // of the producer, in all its processes: 1 to 256 bytes of UTF-8 without control characters
	Seq     uint64 // how many batches of the name are acknowledged
	Records uint64 // how many records those batches have
	Sent    uint64 // how many batches of the name may be stored: at least Seq, less than 2^53
	Origin  string // what the last Resume returned; "" before the first Resume
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
