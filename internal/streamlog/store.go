package streamlog

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Store keeps the records of one stream. If another stream may later get the same name, the Store sets an Incarnation
// in its State with the first Write. Any goroutine may call the methods.
type Store interface {
	// Board returns the Board with the durable state.
	Board() *Board

	// Commit stores w behind all earlier Writes, in the order of the calls. Commit does not wait: the Store calls
	// w.Done when w is durable. The Store does not touch w.Records after Commit has returned, because the records are
	// only lent.
	Commit(w *Write)

	// Read returns records from seq on, with their offsets: at least one record, and at most as many as limit allows.
	// The caller asks only for records that are on the Board. If Read returns no records, seq was trimmed in the
	// meantime. free is as [backend.Batch.Free], and nil if others share the slice.
	Read(seq uint64, limit ReadLimit) (recs []backend.Record, free func(), err error)

	// Since returns the first seq, from head on, whose time is not before t. If all records before tail are older, it
	// returns tail.
	Since(t time.Time, head, tail uint64) (uint64, error)
}

// ReadLimit bounds one Read. The first record is returned even if it is larger than Bytes.
type ReadLimit struct {
	Below   uint64 // Read returns only records with a smaller seq
	Records int
	Bytes   int
}

// A Write is a change of a stream. It is stored in one step, as a whole or not at all. Each of its parts may be
// missing.
type Write struct {
	Records []backend.Record // lent until Commit returns
	// ContentType sets the content type of the stream. If the stream already has another type, the Write fails with
	// ErrRejected.
	ContentType string
	// At, if it is not nil, is where Records must begin. A stream that ends behind At may hold the same Records already,
	// from another process: the Write fails with ErrTransient, and the sender compares. A stream that ends in front of
	// At has lost records, and the Write fails with ErrConflict.
	At    *uint64
	Trim  uint64 // drops all records with a smaller seq
	Close bool   // seals the stream, behind Records

	// If Begin is not nil, the Store calls it once, right before it stores w. If Begin returns false, the Store drops w
	// and does not call Done.
	Begin func() bool

	// The Store calls Done once, with the outcome: the seq of the first record, or an error that wraps a sentinel of
	// package backend. Done does not wait. The goroutine that stored w calls Done, and holds no lock. If another Write
	// was committed behind w and is not stored in the same step, the Store calls its Begin after the Done of w. So the
	// failure of w can still drop the other Write.
	Done func(first uint64, err error)
}

// Commit gives w to s and waits until w is durable. If ctx ends first, only the wait ends: the outcome of w is unknown,
// and the error wraps ErrIndeterminate and the error of ctx.
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
