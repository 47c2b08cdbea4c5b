package streamlog

import (
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// State is what everybody may know of a stream. It is durable: what it says is never taken back.
type State struct {
	Head, Tail  uint64 // the records kept are Head, …, Tail-1
	ContentType string // "" until somebody has fixed it
	Closed      bool   // for good
}

// A Board shows the State of one Store and wakes who waits for the next one.
type Board struct {
	mu      sync.Mutex
	state   State
	changed chan struct{} // made when somebody waits, closed by the next Publish
	ended   chan struct{}
	err     error
}

// NewBoard makes a Board that shows s.
func NewBoard(s State) *Board { return &Board{state: s, ended: make(chan struct{})} }

// State returns what is durable now.
func (b *Board) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Watch returns what is durable now and a channel that is closed when that changes. Both are taken under one lock, so that
// no change is missed between looking and waiting.
func (b *Board) Watch() (State, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.state, b.changed
}

// Publish shows s from now on.
func (b *Board) Publish(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// End says that the Store is gone: it was closed, or the stream deleted. Sessions and readers end with err.
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

// Err returns what End was told, or nil.
func (b *Board) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// metaKeyBytes is well below what bbolt takes for a key; one it does not take would fail all that shares the commit.
const metaKeyBytes = 4096

// Apply advances s by w, which brings n records, or says why w cannot be stored. Every Store uses it, so that they agree.
func (s *State) Apply(w *Write, n int) error {
	// Repeating what is so already is harmless, also on a closed stream.
	if s.Closed && n > 0 {
		return backend.ErrStreamClosed
	}
	if w.ContentType != "" && w.ContentType != s.ContentType {
		if s.ContentType != "" {
			return fmt.Errorf("the stream holds %q, not %q: %w", s.ContentType, w.ContentType, backend.ErrRejected)
		}
		s.ContentType = w.ContentType
	}
	for _, m := range w.Meta {
		if len(m.Key) == 0 || len(m.Key) > metaKeyBytes {
			return fmt.Errorf("metadata key of %d bytes, want 1 to %d: %w", len(m.Key), metaKeyBytes, backend.ErrRejected)
		}
	}
	s.Tail += uint64(n)
	s.Head = max(s.Head, min(w.Trim, s.Tail))
	s.Closed = s.Closed || w.Close
	return nil
}
