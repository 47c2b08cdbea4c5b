package postgres

import (
	"context"

	"github.com/headrace/headrace/backend"
)

var _ backend.Notifier = (*reader)(nil)

// Notify implements [backend.Notifier]: the reader waits on the board of its DB, without a goroutine and a timer.
func (r *reader) Notify(f func()) bool {
	r.notified = true
	// The answer to a query may be there already, and the first Read does not wait.
	if r.failure != nil || r.fresh || r.asked != nil {
		return true
	}
	w := r.waiter(f)
	r.noticed.Store(w)
	if !r.stream.db.board.await(w, r.told) {
		return true
	}
	// Close may have run before w was on the board. If Close has found w on the board, Close calls f.
	return r.closed.Load() && r.stream.db.board.withdraw(w)
}

// wait returns when there may be something new, or when ctx or the reader has ended.
func (r *reader) wait(ctx context.Context) {
	woken := make(chan struct{})
	w := r.waiter(func() { close(woken) })
	if !r.stream.db.board.await(w, r.told) {
		return
	}
	select {
	case <-woken:
	case <-ctx.Done():
	case <-r.life.Done():
	}
	r.stream.db.board.withdraw(w)
}

func (r *reader) waiter(wake func()) *waiter {
	return &waiter{stream: r.stream.name, id: r.id, at: r.at, soon: r.hidden, wake: wake}
}

// Close ends the reader, and its waits.
func (r *reader) Close() error {
	// closed comes first: a Read that cancel wakes looks at closed, and returns ErrClosed and not a transient error.
	r.closed.Store(true)
	r.cancel()
	if w := r.noticed.Load(); w != nil && r.stream.db.board.withdraw(w) {
		w.wake()
	}
	return nil
}
