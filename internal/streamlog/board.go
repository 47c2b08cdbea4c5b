package streamlog

import (
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// State is what every goroutine may know about a stream. It is durable: no crash takes it back.
type State struct {
	Head, Tail  uint64 // the stream holds the records Head, …, Tail-1
	ContentType string // empty until an appender has fixed it
	Closed      bool   // for good
	Incarnation string // of the stream, in its offsets; "" until the first Write of a Store that keeps one
}

// A Board shows the State of one Store, and wakes goroutines that wait for the next State.
type Board struct {
	mu      sync.Mutex // guards all fields; no other lock is taken inside
	state   State
	changed chan struct{} // made when a goroutine waits, closed by the next Publish; nil while nobody waits
	ended   chan struct{} // closed by End
	err     error         // what End was given
}

// NewBoard makes a Board that shows s.
func NewBoard(s State) *Board { return &Board{state: s, ended: make(chan struct{})} }

// State returns the state that is durable now.
func (b *Board) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Watch returns the state that is durable now, and a channel that is closed when the state changes. Both are read under
// one lock. Otherwise a change between looking and waiting would be missed.
func (b *Board) Watch() (State, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.state, b.changed
}

// Publish shows s from now on and wakes all who wait for a change.
func (b *Board) Publish(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// End says that the Store is gone: the Store was closed, or the stream was deleted. Sessions and readers end with err.
func (b *Board) End(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		close(b.ended)
	}
}

// Ended returns a channel that End closes.
func (b *Board) Ended() <-chan struct{} { return b.ended }

// Err returns the error that End was given, or nil.
func (b *Board) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Apply changes s as w does, where w has n records, or returns why w cannot be stored. Every Store uses Apply, so that
// all agree.
func (s *State) Apply(w *Write, n int) error {
	// A closed stream takes no records. To trim it, or to close it again, is harmless.
	if s.Closed && n > 0 {
		return backend.ErrStreamClosed
	}
	if w.ContentType != "" && w.ContentType != s.ContentType {
		if s.ContentType != "" {
			return fmt.Errorf("the stream holds %q, not %q: %w", s.ContentType, w.ContentType, backend.ErrRejected)
		}
		s.ContentType = w.ContentType
	}
	s.Tail += uint64(n)
	s.Head = max(s.Head, min(w.Trim, s.Tail))
	s.Closed = s.Closed || w.Close
	return nil
}
