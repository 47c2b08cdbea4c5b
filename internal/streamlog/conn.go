package streamlog

import (
	"context"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// A conn connects a session with the store. Write copies the batch, so nobody reads lent memory after Write has
// returned. The lock of the appender guards the fields of a conn, except the channels.
type conn struct {
	appender  *appender
	readWake  chan struct{} // holds one token: Read may find something new
	writeWake chan struct{} // holds one token: Write may find something new

	failure     error // the reason why the session ends
	fateUnknown bool  // failure does not say whether the batches in flight are stored
	finished    bool  // Write will not be called again
}

// Write gives recs to the store. An earlier session may have given a batch with the same seq to the store, and the
// store may still be working on it. Then Write waits for the outcome of the earlier batch. Only the outcome says
// whether recs are the resend of a stored batch.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	board := c.appender.log.store.Board()
	for {
		t, wait, err := c.take(seq, len(recs))
		switch {
		case err != nil:
			return err
		case !wait && t.conn == c && !t.stored && c.isResend(t):
			return c.resent(t, seq, recs)
		case !wait && t.conn == c && !t.stored:
			c.commit(t, recs)
			return nil
		case !wait:
			// The batch is stored. Nothing is given to the store again.
			return c.takeOver(t, seq, recs)
		}
		// Every change of the earlier batch wakes the Write of the latest conn: see storingEnded.
		select {
		case <-c.writeWake:
		case <-board.Ended():
		case <-ctx.Done():
			return fmt.Errorf("%s: send: %w: %w", c.appender.log.name, backend.ErrTransient, ctx.Err())
		}
	}
}

// take adds the batch seq to the appender's list. If an earlier session has already taken the batch, take returns the
// entry of the earlier session. wait is true while the store is still working on the batch.
func (c *conn) take(seq uint64, n int) (t *takenBatch, wait bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.failure != nil {
		// After a failed batch, no later batch may be stored. Otherwise the stream would have a hole.
		return nil, false, fmt.Errorf("%s: send: %w: an earlier append failed: %v", a.log.name, backend.ErrTransient, c.failure)
	}
	if err := a.log.store.Board().Err(); err != nil {
		return nil, false, fmt.Errorf("%s: send: %w", a.log.name, err)
	}
	// The list has no gap, so a seq within the list was taken before, by this session or by an earlier session.
	// Pipelined has checked that seq is not below acked.
	if i := int(seq - a.acked); i < len(a.taken) {
		return a.taken[i], !a.taken[i].stored, nil
	}
	t = &takenBatch{conn: c, n: n, first: a.placeLocked()}
	a.taken = append(a.taken, t)
	return t, false, nil
}

// commit gives the batch to the store. The appender's lock is not held, because the store may call Begin and Done
// before Commit returns, and both take the lock.
func (c *conn) commit(t *takenBatch, recs []backend.Record) {
	a := c.appender
	w := &Write{
		Records: recs,
		Begin:   func() bool { return a.storingBegins(t) },
		Done:    func(first uint64, err error) { a.storingEnded(t, first, err) },
	}
	if a.resumed {
		w.At = &t.first
	}
	a.log.store.Commit(w)
}

// takeOver takes over a batch of an earlier session. The batch is stored, and the ack was lost together with the
// earlier session. takeOver compares the records first. If the producer sends other records under the same seq, an ack
// would hide their loss.
func (c *conn) takeOver(t *takenBatch, seq uint64, recs []backend.Record) error {
	a := c.appender
	// The lock is not held during the comparison, because the comparison may read from the disk. A stored batch does
	// not change, and only Read of this session could remove the batch from the list, after t.conn is set below.
	same, err := a.log.holds(t.first, t.n, recs)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("%s: send: compare batch %d with the stored records: %w", a.log.name, seq, err)
	case !same:
		return fmt.Errorf("%s: send: seq %d is stored already with other records: %w", a.log.name, seq, backend.ErrConflict)
	}
	t.conn = c
	wake(c.readWake)
	return nil
}

// Read returns an ack for each batch. All acks come before a failure, because an acknowledged batch must not be sent
// again.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	board := c.appender.log.store.Board()
	for {
		ack, ok, err := c.poll()
		if ok || err != nil {
			return ack, err
		}
		select {
		case <-c.readWake:
		case <-board.Ended():
			c.fail(board.Err())
		case <-ctx.Done():
			c.fail(fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err()))
		}
	}
}

// poll returns an ack, or the reason why there will be no more acks. It does not wait.
func (c *conn) poll() (ack backend.Ack, ok bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	// The oldest batch may still belong to an earlier session, until its resend was compared. Its ack must wait: the
	// records of the resend may differ.
	mine := len(a.taken) > 0 && a.taken[0].conn == c
	switch {
	case mine && a.taken[0].stored:
		return a.ackLocked(), true, nil
	case c.failure != nil:
		return ack, false, c.failure
	// The session has no batch left.
	case c.finished && !mine:
		return ack, false, io.EOF
	}
	return ack, false, nil
}

// fail ends the connection with err, without waiting for the store. The store may still be storing batches, so the fate
// of these batches is unknown.
func (c *conn) fail(err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.failure == nil {
		c.failure, c.fateUnknown = err, true
	}
	c.wakeBoth()
}

// Finish says that Write will not be called again. Read returns io.EOF after the last ack.
func (c *conn) Finish() {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	c.finished = true
	c.wakeBoth()
}

// Fate returns the fate of the unanswered batches. If the store itself has reported err, the store has stored neither
// the failed batch nor any batch behind it, and err says everything. Otherwise the batches may be stored.
func (c *conn) Fate(err error, unanswered int) error {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.fateUnknown && unanswered > 0 {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// Close drops the batches of this connection, except the batches in the hands of the store. The store finishes a batch
// from a copy of its own, and a later session learns the outcome. Close does not drop batches of a later connection.
// Otherwise the acks of the batches behind them would go to other seqs, and records would be acknowledged and not
// stored.
func (c *conn) Close() error {
	c.fail(backend.ErrClosed)
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == c {
		a.conn = nil // an idle producer has no session, and keeps no memory of the last one
	}
	for i, t := range a.taken {
		if t.conn == c && !t.begun {
			a.dropLocked(i)
			break
		}
	}
	return nil
}

// wakeBoth wakes Read and Write.
func (c *conn) wakeBoth() {
	wake(c.readWake)
	wake(c.writeWake)
}

// wake leaves a token for the goroutine that may be waiting. If nobody waits, the token stays for the next wait, and no
// wake-up is lost.
func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
