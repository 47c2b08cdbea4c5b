package backendtest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// Discard is a Sink that acknowledges every batch at once and keeps nothing, for measuring what is above it. It takes
// whatever it is given; limits are only what its Appenders report. Sending and receiving allocate nothing.
func Discard(limits backend.Limits) backend.Sink { return discardSink{limits} }

type discardSink struct{ limits backend.Limits }

func (d discardSink) NewAppender(backend.Format) backend.Appender {
	return backend.Pipelined("discard", d)
}

func (d discardSink) Limits() backend.Limits { return d.limits }

func (d discardSink) Dial(_ context.Context, seq uint64) (backend.Conn, error) {
	return &discardConn{written: seq, answered: seq, changed: make(chan struct{}, 1)}, nil
}

type discardConn struct {
	changed chan struct{} // one token: a field below changed

	mu                sync.Mutex
	written, answered uint64 // seqs below them
	end               error  // what Read returns behind the last ack
}

func (c *discardConn) Write(_ context.Context, seq uint64, _ []backend.Record) error {
	c.mu.Lock()
	c.written = seq + 1
	c.mu.Unlock()
	c.signal()
	return nil
}

// Read acknowledges all that was written with one ack, which is as cheap as acks get.
func (c *discardConn) Read(ctx context.Context) (backend.Ack, error) {
	for {
		c.mu.Lock()
		written, end := c.written, c.end
		if c.answered < written {
			c.answered = written
			c.mu.Unlock()
			return backend.Ack{Seq: written - 1}, nil
		}
		c.mu.Unlock()
		if end != nil {
			return backend.Ack{}, end
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return backend.Ack{}, ctx.Err()
		}
	}
}

func (c *discardConn) Finish() { c.stop(io.EOF) }

func (c *discardConn) Fate(err error, _ int) error {
	return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
}

func (c *discardConn) Close() error {
	c.stop(backend.ErrClosed)
	return nil
}

func (c *discardConn) stop(end error) {
	c.mu.Lock()
	c.end = end
	c.mu.Unlock()
	c.signal()
}

func (c *discardConn) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
