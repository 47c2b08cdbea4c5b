package streamlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An appender remembers, for the life of one producer, which seqs were acknowledged. It also keeps the batches that a
// session took and whose ack no session has returned yet. So a resend of a stored batch is recognized.
type appender struct {
	log         *Log
	contentType string

	// mu guards the fields below, the batches in taken, and the fields of conn. Lock order: mu, then the lock of a
	// Board.
	mu    sync.Mutex
	acked uint64        // Read has returned the acks of all smaller seqs
	taken []*takenBatch // the batches acked, acked+1, … that a session took and that did not fail
	conn  *conn         // the latest one; nil before the first Dial
}

// A takenBatch is one batch, from its Write until its ack was returned or the batch failed.
type takenBatch struct {
	conn    *conn  // of the session that took the batch last
	n       int    // number of records
	first   uint64 // seq of the first record; valid once stored is true
	begun   bool   // the store is storing the batch, so only Done decides its fate
	stored  bool   // the batch is durable
	dropped bool   // the store must not begin the batch
}

func (a *appender) Limits() backend.Limits { return a.log.limits }

// Dial begins a session whose first batch has the number seq. All batches before seq were acknowledged.
func (a *appender) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	if err := a.claim(ctx); err != nil {
		return nil, fmt.Errorf("%s: open: %w", a.log.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = seq
	a.conn = &conn{appender: a, readWake: make(chan struct{}, 1), writeWake: make(chan struct{}, 1)}
	return a.conn, nil
}

// claim fixes the content type of the stream, or compares it with the type that was fixed before. It refuses a stream
// that is closed for good, unless batches of this producer are stored in the stream and wait for their ack.
func (a *appender) claim(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	board := a.log.store.Board()
	if err := board.Err(); err != nil {
		return err
	}
	st := board.State()
	if st.Closed {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.taken) == 0 {
			return backend.ErrStreamClosed
		}
		return nil
	}
	if a.contentType == "" || a.contentType == st.ContentType {
		return nil
	}
	_, err := Commit(ctx, a.log.store, &Write{ContentType: a.contentType})
	if ctxErr := ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		// The content type may be fixed already. To fix it again changes nothing, so the error is not ErrIndeterminate.
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctxErr)
	}
	return err
}

// storingBegins is called by the store right before it stores t. It returns false if t was dropped and must not be
// stored.
func (a *appender) storingBegins(t *takenBatch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.begun = !t.dropped
	return t.begun
}

// storingEnded is called by the store when t is stored, or when t failed with err. If t failed, all batches behind t
// are dropped too, so that what is stored stays a prefix.
func (a *appender) storingEnded(t *takenBatch, first uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		t.first, t.stored = first, true
	} else {
		if i := slices.Index(a.taken, t); i >= 0 {
			a.dropLocked(i)
		}
		if t.conn.failure == nil {
			t.conn.failure = err
		}
	}
	t.conn.wakeBoth()
	// The Write of the latest session may be waiting for the outcome of a batch of an earlier session.
	a.conn.wakeBoth()
}

// ackLocked removes the oldest batch from the list and returns its ack.
func (a *appender) ackLocked() backend.Ack {
	t, seq := a.taken[0], a.acked
	a.taken[0] = nil
	a.taken = a.taken[1:]
	a.acked++
	first, n := t.first, t.n
	incarnation := a.log.store.Board().State().Incarnation
	return backend.Ack{
		Seq:  seq,
		Next: FormatOffset(first+uint64(n), incarnation),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return FormatOffset(first+uint64(i), incarnation)
		},
	}
}

// dropLocked forgets the i-th taken batch and all batches behind it. The store has not begun any of the batches behind
// it.
func (a *appender) dropLocked(i int) {
	for _, t := range a.taken[i:] {
		t.dropped = true
	}
	clear(a.taken[i:])
	a.taken = a.taken[:i]
}
