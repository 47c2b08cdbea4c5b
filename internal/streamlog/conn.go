package streamlog

import (
	"context"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// A conn is one session's way to the store. It copies a batch in Write, so lent memory is never read once Write has
// returned. The appender's lock guards its fields, except the channels.
type conn struct {
	appender *appender
	read     chan struct{} // one token: Read may find something new
	write    chan struct{} // one token: Write may find something new

	failure  error // why nothing more is written or acknowledged
	unsure   bool  // failure says nothing about the batches in flight
	finished bool
}

// Write gives recs to the store. It waits for the outcome of a batch that an earlier session has left with the store under
// the same seq: only then it is known whether recs are a resend of a stored batch.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	board := c.appender.log.store.Board()
	for {
		t, wait, err := c.take(seq, len(recs))
		switch {
		case err != nil:
			return err
		case !wait && t.conn == c:
			c.commit(t, recs)
			return nil
		case !wait:
			return c.again(t, seq, recs)
		}
		select {
		case <-c.write:
		case <-board.Ended():
		case <-ctx.Done():
			return fmt.Errorf("%s: send: %w: %w", c.appender.log.name, backend.ErrTransient, ctx.Err())
		}
	}
}

// take adds batch seq to the appender's list. Where an earlier session has taken it already, take returns what that session
// left, or that the caller must wait while the store works on it.
func (c *conn) take(seq uint64, n int) (t *taken, wait bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.failure != nil {
		return nil, false, fmt.Errorf("%s: send: %w: an earlier append failed: %v", a.log.name, backend.ErrTransient, c.failure)
	}
	if err := a.log.store.Board().Err(); err != nil {
		return nil, false, fmt.Errorf("%s: send: %w", a.log.name, err)
	}
	if i := int(seq - a.acked); i < len(a.taken) {
		return a.taken[i], !a.taken[i].stored, nil
	}
	t = &taken{conn: c, n: n}
	a.taken = append(a.taken, t)
	return t, false, nil
}

func (c *conn) commit(t *taken, recs []backend.Record) {
	a := c.appender
	a.log.store.Commit(&Write{
		Records: recs,
		Begin:   func() bool { return a.begin(t) },
		Done:    func(first uint64, err error) { a.done(t, first, err) },
	})
}

// again takes over a batch that an earlier session stored, and whose ack was lost with that session. It compares the records
// first, because the ack would make other records under the same seq vanish.
func (c *conn) again(t *taken, seq uint64, recs []backend.Record) error {
	a := c.appender
	same, err := a.log.holds(t.first, t.n, recs)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("%s: send: compare batch %d with what is stored: %w", a.log.name, seq, err)
	case !same:
		return fmt.Errorf("%s: send: seq %d is stored with other records: %w", a.log.name, seq, backend.ErrConflict)
	}
	t.conn = c
	wake(c.read)
	return nil
}

// Read returns one ack a batch. An ack that is there goes before a failure.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	board := c.appender.log.store.Board()
	for {
		ack, ok, err := c.poll()
		if ok || err != nil {
			return ack, err
		}
		select {
		case <-c.read:
		case <-board.Ended():
			c.fail(board.Err())
		case <-ctx.Done():
			c.fail(fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err()))
		}
	}
}

func (c *conn) poll() (ack backend.Ack, ok bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	mine := len(a.taken) > 0 && a.taken[0].conn == c
	switch {
	case mine && a.taken[0].stored:
		return a.ackLocked(), true, nil
	case c.failure != nil:
		return ack, false, c.failure
	case c.finished && !mine:
		return ack, false, io.EOF
	}
	return ack, false, nil
}

// fail ends the connection without waiting for the store, which may still be at work on batches.
func (c *conn) fail(err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.failure == nil {
		c.failure, c.unsure = err, true
	}
	c.wake()
}

func (c *conn) Finish() {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	c.finished = true
	c.wake()
}

// Fate is what the store said of the batch that failed. Nothing behind that batch is stored.
func (c *conn) Fate(err error, unanswered int) error {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.unsure && unanswered > 0 {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// Close drops what the store has not begun. The store finishes a batch that it has begun, from a copy of its own; a later
// session hears of it.
func (c *conn) Close() error {
	c.fail(backend.ErrClosed)
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, t := range a.taken {
		if !t.begun {
			a.dropLocked(i)
			break
		}
	}
	return nil
}

func (c *conn) wake() {
	wake(c.read)
	wake(c.write)
}

// wake leaves a token for the one goroutine that may wait for it; the token stays when none does.
func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
