package s2

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

var _ backend.Notifier = (*tailReader)(nil)

// A tailReader is a reader that can wait at the tail without a session. net/http needs a goroutine and 5 KiB for a session, and
// somebody must wait in Read for the next heartbeat. A service may have thousands of consumers without work.
//
// A tailReader changes from its session to a [tailWatch] in two steps. Each step begins with a heartbeat that says nothing new. At
// the first heartbeat, the watch starts beside the session. At a later heartbeat the session ends, if the server has confirmed the
// watch by then. So nothing waits for a watch, and a watch that cannot work changes nothing. While records come every few seconds,
// there is no watch at all.
//
// One goroutine at a time calls Read and Notify; any goroutine calls Close.
type tailReader struct {
	stream *Stream
	sleep  sleep
	at     backend.Offset // behind the latest batch
	failed error          // why no session could be opened: every further Read returns it

	mu      sync.Mutex
	session *reader            // nil while the reader relies on watch
	watch   *tailWatch         // nil while records come
	opening context.CancelFunc // ends the opening of a session; nil while no session is opened
	closed  bool
}

// newTailReader makes a tailReader of a session.
func newTailReader(session *reader) *tailReader {
	session.stream.client().reading() // counts a reader: see Client.leave
	return &tailReader{stream: session.stream, session: session}
}

// mostPatience bounds the patience of a sleep.
const mostPatience = 64

// A sleep is how a tailReader decides that it may try a watch. Some servers refuse each watch, and some streams get a record right
// after the reader has given its session up. Without patience, the server would get more requests than from a reader that keeps its
// session.
type sleep struct {
	atTail   bool      // the latest batch has reached the tail
	quiet    int       // heartbeats in a row that say nothing new
	patience int       // a watch may start when quiet is larger
	began    time.Time // when the reader gave its session up last
}

// grow makes the reader wait for about twice as many heartbeats before the next watch.
func (s *sleep) grow() { s.quiet, s.patience = 0, min(2*s.patience+1, mostPatience) }

// Read implements [backend.Reader].
func (r *tailReader) Read(ctx context.Context) (backend.Batch, error) {
	session, err := r.current(ctx)
	if err != nil {
		return backend.Batch{}, err
	}
	b, err := session.Read(ctx)
	// The first heartbeat at the tail only says that the tail is reached. It comes at once, and the next record may be near.
	atTail := r.sleep.atTail
	r.sleep.atTail = b.CaughtUp
	if err == nil && len(b.Records) == 0 && b.CaughtUp && b.Next == r.at {
		if atTail {
			r.sleep.quiet++
		}
		return b, nil
	}
	r.at, r.sleep.quiet = b.Next, 0
	r.unwatch()
	return b, err
}

// Notify implements [backend.Notifier]. Notify returns true until the reader relies on a watch.
func (r *tailReader) Notify(f func()) bool {
	r.mu.Lock()
	session, watch, closed := r.session, r.watch, r.closed
	r.mu.Unlock()
	switch {
	case closed || session == nil || session.advised || r.sleep.quiet <= r.sleep.patience:
		return true
	case watch == nil:
		r.startWatch(session.next)
		return true
	case !watch.rely(f):
		if over, _ := watch.state(); over {
			// No record has come, so the watch has failed.
			r.unwatch()
			r.sleep.grow()
		}
		return true
	}
	r.sleep.atTail, r.sleep.quiet, r.sleep.began = false, 0, time.Now()
	r.mu.Lock()
	r.session = nil
	r.mu.Unlock()
	_ = session.Close()
	return false
}

func (r *tailReader) startWatch(next uint64) {
	w := r.stream.watchTail(next)
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.watch = w
	}
	r.mu.Unlock()
	if closed {
		w.close()
	}
}

// unwatch gives the watch up.
func (r *tailReader) unwatch() (was *tailWatch) {
	r.mu.Lock()
	was, r.watch = r.watch, nil
	r.mu.Unlock()
	if was != nil {
		was.close()
	}
	return was
}

// current returns the session. After a wait without a session, current opens another session at the place of the reader.
func (r *tailReader) current(ctx context.Context) (*reader, error) {
	r.mu.Lock()
	session, closed := r.session, r.closed
	r.mu.Unlock()
	switch {
	case session != nil:
		return session, nil // a closed session says so itself
	case closed:
		return nil, r.stream.errClosed()
	case r.failed != nil:
		return nil, r.failed
	}
	session, err := r.reopen(ctx)
	if err != nil {
		r.failed = err
	}
	return session, err
}

// reopen opens a session behind the latest batch, because the watch is over. The wait without a session tells how soon the next
// watch is worth a try.
func (r *tailReader) reopen(ctx context.Context) (*reader, error) {
	if watch := r.unwatch(); watch != nil && ctx.Err() == nil {
		// The connection is lost, as a connection of a session can be. The caller decides when to ask the server again: many
		// readers may have lost the same connection.
		if _, lost := watch.state(); lost != nil {
			return nil, fmt.Errorf("s2: %s: %w", r.stream.op("read"), repeatableMeaning(r.stream.client().redact(lost)))
		}
	}
	if time.Since(r.sleep.began) < r.stream.client().cfg.shortSleep {
		r.sleep.grow()
	} else {
		r.sleep.patience = 0
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("s2: %s: %w: %w", r.stream.op("read"), backend.ErrTransient, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.opening = cancel // Close ends the opening
	closed := r.closed
	r.mu.Unlock()
	var session *reader
	var err error
	if !closed {
		session, err = r.stream.openAt(ctx, r.at)
	}
	r.mu.Lock()
	r.opening, closed = nil, r.closed
	if err == nil && !closed {
		r.session = session
	}
	r.mu.Unlock()
	if closed {
		if session != nil {
			_ = session.Close()
		}
		return nil, r.stream.errClosed()
	}
	return session, err
}

// Close implements [backend.Reader].
func (r *tailReader) Close() error {
	r.mu.Lock()
	session, opening, first := r.session, r.opening, !r.closed
	r.closed = true
	r.mu.Unlock()
	if first {
		defer r.stream.client().leave()
	}
	if opening != nil {
		opening()
	}
	r.unwatch()
	if session != nil {
		return session.Close()
	}
	return nil
}
