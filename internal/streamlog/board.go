package streamlog

import (
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// State is the durable state of a stream. No crash takes the state back, so every goroutine may use it.
type State struct {
	Head, Tail  uint64 // the stream holds the records Head, …, Tail-1
	ContentType string // empty until an appender has set it
	Closed      bool   // the stream was sealed
	Incarnation string // name of this stream in its offsets; "" before the first Write, and in a Store without incarnations
}

// A Board shows the State of a Store, and wakes the goroutines that wait for the next State.
type Board struct {
	mu      sync.Mutex // guards all fields; no other lock is taken inside
	state   State
	waiting []*Waiter     // in Await, and neither woken nor withdrawn
	ended   chan struct{} // closed by End
	err     error         // the argument of End
}

// NewBoard makes a Board that shows s.
func NewBoard(s State) *Board { return &Board{state: s, ended: make(chan struct{})} }

// State returns the state that is durable now.
func (b *Board) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// A Waiter waits for a record or for the end of the stream. Its fields do not change while it waits.
type Waiter struct {
	Next uint64 // the seq of the record
	Wake func() // called once at the end of the wait, with the lock of the Board held: Wake must not block
}

// Await lets w wait. If the record is there, or if the stream has ended, Await returns false, and w does not wait. Await looks and
// notes w under the same lock. Otherwise w could miss a change between looking and waiting.
func (b *Board) Await(w *Waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || b.state.ends(w) {
		return false
	}
	b.waiting = append(b.waiting, w)
	return true
}

// Withdraw ends the wait of w without a call of Wake, and reports whether w was waiting.
func (b *Board) Withdraw(w *Waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

// ends reports whether the wait of w is over.
func (s *State) ends(w *Waiter) bool { return s.Tail > w.Next || s.Closed }

// wakeLocked wakes everybody whose wait is over.
func (b *Board) wakeLocked() {
	b.waiting = slices.DeleteFunc(b.waiting, func(w *Waiter) bool {
		over := b.err != nil || b.state.ends(w)
		if over {
			w.Wake()
		}
		return over
	})
}

// Publish replaces the state with s and wakes everybody whose wait is over. Everything in s must be durable: readers return
// records on the strength of the state, and sessions acknowledge them.
func (b *Board) Publish(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
	b.wakeLocked()
}

// End says that the Store is gone, because the Store was closed or the stream was deleted. Sessions and readers end
// with err.
func (b *Board) End(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The first reason stays: the users of a stream learn that the stream was deleted, also when the Store is closed
	// later.
	if b.err == nil {
		b.err = err
		close(b.ended)
		b.wakeLocked()
	}
}

// Ended returns a channel that End closes.
func (b *Board) Ended() <-chan struct{} { return b.ended }

// Err returns the argument of End, or nil before End.
func (b *Board) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Apply changes s as the Write w with n records does, or returns the reason why w cannot be stored. Every Store uses
// Apply, so all Stores accept and refuse the same Writes.
func (s *State) Apply(w *Write, n int) error {
	// A closed stream takes no records. A trim of a closed stream, or a second close, is allowed and harmless.
	if s.Closed && n > 0 {
		return backend.ErrStreamClosed
	}
	switch {
	case w.At == nil || *w.At == s.Tail:
	case *w.At < s.Tail:
		return fmt.Errorf("%w: the stream ends at %d, and the batch belongs at %d: another process may have stored it", backend.ErrTransient, s.Tail, *w.At)
	default:
		return fmt.Errorf("%w: the stream ends at %d, and the batch belongs at %d: records that were acknowledged are missing", backend.ErrConflict, s.Tail, *w.At)
	}
	if w.ContentType != "" && w.ContentType != s.ContentType {
		if s.ContentType != "" {
			return fmt.Errorf("the stream holds %q, not %q: %w", s.ContentType, w.ContentType, backend.ErrRejected)
		}
		s.ContentType = w.ContentType
	}
	s.Tail += uint64(n)
	// A trim beyond the tail drops everything, and not records of the future. A trim before the head changes nothing,
	// so two trims may come in any order.
	s.Head = max(s.Head, min(w.Trim, s.Tail))
	s.Closed = s.Closed || w.Close
	return nil
}
