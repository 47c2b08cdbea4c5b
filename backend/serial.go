package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Serial makes a Sink of a store with one blocking call an append: SQL inserts, a file, an HTTP POST. Send makes the call
// in its own goroutine: a batch is on its way while the producer fills the next batch.
//
// appendBatch stores recs and returns when recs are durable; the Seq of the returned Ack is ignored. appendBatch must
// return soon after ctx ends and must not keep recs. An error without a sentinel of this package is fatal, with one
// exception: a context error alone becomes [ErrIndeterminate], because the call had begun. A store may recognize a resend by
// its seq. But each Appender counts its seqs from 0: when several producers use one Sink, the store must tell the producers apart.
func Serial(l Limits, appendBatch func(ctx context.Context, seq uint64, recs []Record) (Ack, error)) Sink {
	return &serialSink{limits: l, appendBatch: appendBatch}
}

type serialSink struct {
	limits      Limits
	appendBatch func(context.Context, uint64, []Record) (Ack, error)
}

func (s *serialSink) NewAppender(Format) Appender { return Pipelined("serial", s) }

func (s *serialSink) Limits() Limits { return s.limits }

func (s *serialSink) Dial(context.Context, uint64) (Conn, error) {
	return &serialConn{appendBatch: s.appendBatch, abort: func() {}, changed: make(chan struct{}, 1)}, nil
}

// A serialConn keeps the results of the calls for Read.
type serialConn struct {
	appendBatch func(context.Context, uint64, []Record) (Ack, error)
	changed     chan struct{} // one token: acks, failure or finished changed

	mu       sync.Mutex
	abort    context.CancelFunc // ends the call under way
	acks     []Ack
	failure  error // why there are no more calls
	finished bool
}

// Write makes the call. A failed call may have stored the batch. Therefore Read returns the error of a call, and Write
// does not.
func (c *serialConn) Write(ctx context.Context, seq uint64, recs []Record) error {
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	failure := c.failure
	c.abort = cancel
	c.mu.Unlock()
	if failure != nil {
		return fmt.Errorf("serial: send: %w: an earlier append failed: %v", ErrTransient, failure)
	}
	ack, err := c.appendBatch(call, seq, recs)
	ack.Seq = seq

	c.mu.Lock()
	defer c.mu.Unlock()
	defer wake(c.changed)
	switch {
	case c.failure != nil: // after a failure nothing more is acknowledged
	case err == nil:
		c.acks = append(c.acks, ack)
	default:
		c.failure = err
	}
	return nil
}

func (c *serialConn) Read(ctx context.Context) (Ack, error) {
	for {
		ack, ok, err := c.poll()
		if ok || err != nil {
			return ack, err
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			c.fail(ctx.Err())
		}
	}
}

// poll returns the next ack, or the reason why no further ack comes.
func (c *serialConn) poll() (ack Ack, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.acks) > 0:
		ack, c.acks = c.acks[0], c.acks[1:]
		return ack, true, nil
	case c.failure == nil && c.finished:
		return ack, false, io.EOF
	}
	return ack, false, c.failure
}

// fail ends the call under way, which may still store its batch.
func (c *serialConn) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = cause
	}
	c.abort()
	wake(c.changed)
}

func (c *serialConn) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	wake(c.changed)
}

// Fate adds a sentinel to a context error without one. The context error comes from appendBatch or from the ctx of Recv. Any other
// error stays as appendBatch has returned it.
func (c *serialConn) Fate(err error, unanswered int) error {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case !ended || errors.Is(err, ErrTransient) || errors.Is(err, ErrIndeterminate):
		return err
	case unanswered == 0:
		return fmt.Errorf("%w: %w", ErrTransient, err)
	}
	return fmt.Errorf("%w: %w", ErrIndeterminate, err) // the call had begun when it ended
}

func (c *serialConn) Close() error {
	c.fail(ErrClosed)
	return nil
}
