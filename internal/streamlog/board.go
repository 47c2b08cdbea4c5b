package streamlog

import (
	"fmt"
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
	changed chan struct{} // made when a goroutine waits, closed by the next Publish; nil while nobody waits
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

// Watch returns the durable state, and a channel for the next change. Watch reads both under the same lock. Otherwise a
// caller could miss a change between looking and waiting.
func (b *Board) Watch() (State, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The channel is made only when somebody waits, so a stream without waiting readers publishes without an
	// allocation.
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.state, b.changed
}

// Publish replaces the state with s and wakes everybody who waits for a change. Everything in s must be durable:
// readers return records on the strength of the state, and sessions acknowledge them.
func (b *Board) Publish(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
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
