package streamlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An appender remembers, for one producer's life, which seqs were acknowledged, and where those batches are that were stored
// without their ack being returned.
type appender struct {
	log         *Log
	contentType string

	mu    sync.Mutex // guards the fields of conn, too
	acked uint64     // seqs below it were returned by Read
	taken []*taken   // the seqs acked, acked+1, … that some session took and that did not fail
	conn  *conn      // the latest one; nil before the first Dial
}

// taken is one batch from Write until its ack was returned or it failed.
type taken struct {
	conn    *conn // the latest that took it
	n       int
	first   uint64 // once stored
	begun   bool   // the store is at it: only Done decides now
	stored  bool
	dropped bool // never to be begun
}

func (a *appender) Limits() backend.Limits { return a.log.limits }

func (a *appender) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	if err := a.claim(ctx); err != nil {
		return nil, fmt.Errorf("%s: open: %w", a.log.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = seq
	a.conn = &conn{appender: a, read: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	return a.conn, nil
}

// claim fixes the content type of the stream or compares it, and refuses a stream that is closed, unless batches of this
// producer are waiting in it for their ack.
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
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctxErr) // fixing it again changes nothing
	}
	return err
}

// begin is what the store asks right before it stores t.
func (a *appender) begin(t *taken) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.begun = !t.dropped
	return t.begun
}

// done is what the store tells when t is stored, or not.
func (a *appender) done(t *taken, first uint64, err error) {
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
	t.conn.wake()
	a.conn.wake() // its Write may wait for what became of a batch of an earlier session
}

// ackLocked takes the oldest batch off the list.
func (a *appender) ackLocked() backend.Ack {
	t, seq := a.taken[0], a.acked
	a.taken[0] = nil
	a.taken = a.taken[1:]
	a.acked++
	first, n := t.first, t.n
	return backend.Ack{
		Seq:  seq,
		Next: FormatOffset(first + uint64(n)),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return FormatOffset(first + uint64(i))
		},
	}
}

// dropLocked forgets the batches from the i-th taken one on. The store has not begun those behind it.
func (a *appender) dropLocked(i int) {
	for _, t := range a.taken[i:] {
		t.dropped = true
	}
	clear(a.taken[i:])
	a.taken = a.taken[:i]
}
