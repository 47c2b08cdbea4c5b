package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// mergeLook is the interval at which a waiting merge looks whether a silent stream has reached its tail.
const mergeLook = 10 * time.Millisecond

// A mergeStream is one stream of a merge. Its goroutine runs the loop of the consumer, and stands still while its message
// waits in the merge or is in hand. So the loop saves places between two messages, as always.
type mergeStream[T any] struct {
	c      *Consumer[T]
	no     int
	before *run // of the loop before this one
	// next receives a value when the message in hand is done, and is closed when the merge has ended.
	next chan struct{}

	// The goroutine writes these fields before sending an event. The merge reads the fields after receiving the event, or
	// when the goroutine has ended.
	head  Message[T]
	ended bool
	left  bool  // the goroutine has left the loop before its end, so the consumer keeps an error of the last save
	err   error // why the loop of the consumer has ended; nil at the end of the stream or at the tail

	panicked *PanicError // a panic of the goroutine; nil if there was none

	// Only the merge uses these fields.
	waiting   bool      // head waits in the merge or is in hand
	over      bool      // the event of the end was received
	tailSince time.Time // since when the stream is known to be at its tail; zero: it is not
}

// read is the goroutine.
func (s *mergeStream[T]) read(ctx context.Context, events chan<- *mergeStream[T]) {
	s.err = errGoexit // unless the loop below ends
	defer func() {
		// Nobody could recover a panic in this goroutine.
		if p := recover(); p != nil {
			s.panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		s.ended = true
		events <- s
	}()
	for m, err := range s.c.Messages(ctx) {
		if err != nil {
			s.err = err
			return
		}
		s.head = m
		events <- s
		if _, more := <-s.next; !more {
			s.left, s.err = true, nil
			return
		}
	}
	s.err = nil
}

// isBefore reports whether the message of s is given out before that of other.
func (s *mergeStream[T]) isBefore(other *mergeStream[T]) bool {
	if c := s.head.Time.Compare(other.head.Time); c != 0 {
		return c < 0
	}
	return s.no < other.no
}

// untilQuiet returns for how long the merge still has to wait for s, which has no message in hand. 0 or less: s has been
// at its tail for MergeWait.
func (s *mergeStream[T]) untilQuiet(now time.Time) time.Duration {
	if !s.atTail() {
		s.tailSince = time.Time{}
		return mergeLook
	}
	if s.tailSince.IsZero() {
		s.tailSince = now
	}
	return s.c.cfg.mergeWait - now.Sub(s.tailSince)
}

// atTail reports whether the stream has been read up to its tail and everything that was read is done.
func (s *mergeStream[T]) atTail() bool {
	r, n := s.c.latest(), &s.c.counters
	if r == s.before {
		return false // the loop has not begun
	}
	// The reader counts the records of a batch before setting caughtUp. In this order no record on its way is overlooked.
	return n.caughtUp.Load() && n.read.Load()-r.readBefore == r.track.low.Load()
}

// failure returns the error of an ended stream, except ended, the error of the context. A panic is no error: the merge raises the panic.
func (s *mergeStream[T]) failure(ended error) error {
	switch {
	case s.panicked != nil, s.err == ended:
		return nil
	case s.left:
		return s.c.swapFinalSaveErr(nil)
	}
	return s.err
}

// named says which stream an error belongs to.
func (s *mergeStream[T]) named(err error) error {
	if s.c == nil || !s.c.cfg.hasStore {
		return fmt.Errorf("consumer: merge: stream %d: %w", s.no, err)
	}
	return fmt.Errorf("consumer: merge: stream %.64q: %w", s.c.cfg.key, err)
}
