package streamlog

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Store keeps the records of one stream. Its methods may be called from any goroutine.
type Store interface {
	// Board shows what is durable.
	Board() *Board

	// Commit stores w behind all that was committed before, in the order of the calls. It does not wait: Done says when w
	// is durable. It does not touch w.Records after it has returned.
	Commit(w *Write)

	// Read returns records from seq on, at least one and at most what limit allows, with their offsets. It is asked only
	// for what the Board has shown; none means that seq was trimmed since.
	Read(seq uint64, limit ReadLimit) ([]backend.Record, error)

	// Since returns the first seq at or above head whose time is not before t, or tail when there is none below it.
	Since(t time.Time, head, tail uint64) (uint64, error)

	// Meta returns what a Write has set under key, or nil.
	Meta(key string) ([]byte, error)
}

// ReadLimit bounds one Read. The first record is returned whatever its size.
type ReadLimit struct {
	Below   uint64 // the first seq not to return
	Records int
	Bytes   int
}

// A Write is what is stored in one step, whole or not at all. Every part of it may be missing.
type Write struct {
	Records     []backend.Record // lent until Commit returns
	ContentType string           // fixes the stream's, or is compared with it: another one is ErrRejected
	Trim        uint64           // drops the records below it, as far as there are any
	Close       bool             // closes the stream for good, behind Records
	Meta        []Meta

	// Begin, when there is one, is asked once right before w is stored; false drops w without a word.
	Begin func() bool

	// Done is told once what became of w: the seq of the first record, or an error that wraps what backend says of it.
	// It is called with no lock held, by whichever goroutine of the Store stored it, and does not wait. The Done of one
	// Write comes before the Begin of any that was committed behind it and not stored in the same step.
	Done func(first uint64, err error)
}

// Meta is a small value kept beside the records under a key of 1 to 4096 bytes. A nil Value removes it.
type Meta struct {
	Key   string
	Value []byte
}

// Commit gives w to s and waits until it is durable. The end of ctx ends the wait only: what becomes of w is then unknown,
// and the error wraps ErrIndeterminate and ctx's.
func Commit(ctx context.Context, s Store, w *Write) (first uint64, err error) {
	type outcome struct {
		first uint64
		err   error
	}
	done := make(chan outcome, 1)
	w.Done = func(first uint64, err error) { done <- outcome{first, err} }
	s.Commit(w)
	select {
	case o := <-done:
		return o.first, o.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", backend.ErrIndeterminate, ctx.Err())
	}
}
