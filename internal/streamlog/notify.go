package streamlog

import (
	"context"

	"github.com/headrace/headrace/backend"
)

var _ backend.Notifier = (*reader)(nil)

// Notify implements [backend.Notifier].
func (r *reader) Notify(f func()) bool {
	if r.dead != nil || r.first {
		return true
	}
	r.notified = Waiter{Next: r.next, Wake: f}
	return !r.await(&r.notified)
}

// wait returns when there may be something new.
func (r *reader) wait(ctx context.Context) {
	if r.woken == nil {
		r.woken = make(chan struct{}, 1)
		r.reading.Wake = func() { r.woken <- struct{}{} }
	}
	r.reading.Next = r.next
	if !r.await(&r.reading) {
		return
	}
	select {
	case <-r.woken:
	case <-ctx.Done():
		if !r.log.store.Board().Withdraw(&r.reading) {
			<-r.woken // Wake runs now. Its token must not end a later wait.
		}
	}
}

// await lets w wait. If a Read of r would return at once, await returns false, and w does not wait.
func (r *reader) await(w *Waiter) bool {
	board := r.log.store.Board()
	if !board.Await(w) {
		return false
	}
	// Close may have run before w was on the board. If Close has found w on the board, Close calls Wake.
	return !r.closed.Load() || !board.Withdraw(w)
}

// Close ends the waits of r.
func (r *reader) Close() error {
	r.closed.Store(true)
	for _, w := range []*Waiter{&r.notified, &r.reading} {
		if r.log.store.Board().Withdraw(w) {
			w.Wake()
		}
	}
	return nil
}
