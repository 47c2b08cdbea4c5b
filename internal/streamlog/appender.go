package streamlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An appender remembers, for one producer's life, which seqs were acknowledged and where the ones are that were stored
// without their ack being returned.
type appender struct {
	log         *Log
	contentType string

	// One lock for the appender and its session: what is taken, what is acknowledged and why it ended are one decision.
	mu      sync.Mutex
	acked   uint64   // seqs below it were returned by Recv
	taken   []*taken // the seqs acked, acked+1, … that some session took and that did not fail
	session *session // the latest one
}

// taken is one batch from Send until its ack was returned or it failed.
type taken struct {
	session *session
	n       int
	first   uint64 // once stored
	begun   bool   // the store is at it: only Done decides now
	stored  bool
	dropped bool // never to be begun
}

func (a *appender) Limits() backend.Limits { return a.log.limits }

func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	if err := a.claim(ctx); err != nil {
		return nil, fmt.Errorf("%s: open: %w", a.log.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != nil && !a.session.closed {
		return nil, fmt.Errorf("%s: open: the session before was not closed: %w", a.log.name, backend.ErrConflict)
	}
	a.session = &session{appender: a, next: a.acked, recv: make(chan struct{}, 1), send: make(chan struct{}, 1)}
	return a.session, nil
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
		for i := range a.taken {
			if a.taken[i] == t {
				a.drop(i)
				break
			}
		}
		// The error is about a batch that was taken, so it replaces a reason found without knowing of it.
		if !t.session.told {
			t.session.reason = fmt.Errorf("%s: append: %w", a.log.name, err)
		}
	}
	t.session.wake()
	a.session.wake() // its Send may wait for what became of a batch of the session before
}

// drop forgets the batches from the i-th taken one on; the store has not begun those behind it. The lock is held.
func (a *appender) drop(i int) {
	for _, t := range a.taken[i:] {
		t.dropped = true
	}
	clear(a.taken[i:])
	a.taken = a.taken[:i]
}
