package streamlog

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Store keeps the records of one stream. A Store whose stream can be replaced by another of the same name gives its State
// an Incarnation with the first Write. Any goroutine may call the methods.
type Store interface {
	// Board returns the Board that shows what is durable.
	Board() *Board

	// Commit stores w behind everything that was committed before, in the order of the calls. Commit does not wait: the
	// Store calls w.Done when w is durable. The Store does not touch w.Records after Commit has returned.
	Commit(w *Write)

	// Read returns records from seq on, with their offsets: at least one record, and at most as many as limit allows.
	// The caller asks only for records that the Board has shown. If Read returns no records, seq was trimmed in the
	// meantime.
	Read(seq uint64, limit ReadLimit) ([]backend.Record, error)

	// Since returns the first seq, from head on, whose time is not before t. It returns tail if no record before tail
	// is so late.
	Since(t time.Time, head, tail uint64) (uint64, error)
}

// ReadLimit bounds one Read. The first record is returned even if it is larger than Bytes.
type ReadLimit struct {
	Below   uint64 // records from this seq on are not returned
	Records int
	Bytes   int
}

// A Write is stored in one step, as a whole or not at all. Each of its parts may be missing.
type Write struct {
	Records []backend.Record // lent until Commit returns
	// ContentType fixes the content type of the stream. If another type is fixed already, the Write fails with
	// ErrRejected.
	ContentType string
	Trim        uint64 // drops the records with a smaller seq
	Close       bool   // closes the stream for good, behind Records

	// If Begin is not nil, the Store calls it once, right before it stores w. If Begin returns false, the Store drops w
	// and does not call Done.
	Begin func() bool

	// The Store calls Done once, with the outcome: the seq of the first record, or an error that wraps a sentinel of
	// package backend. Done does not wait. The goroutine that stored w calls Done and holds no lock. If another Write
	// was committed behind w and is not stored in the same step, its Begin is called after the Done of w.
	Done func(first uint64, err error)
}

// Commit gives w to s and waits until w is durable. When ctx ends, only the wait ends: the outcome of w is unknown, and
// the error wraps ErrIndeterminate and the error of ctx.
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
