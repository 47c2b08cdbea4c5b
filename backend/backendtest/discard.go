package backendtest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// Discard returns a Sink that acknowledges every batch at once and keeps nothing, for measuring the code above a sink. The Sink
// takes every batch; its Appenders only report limits. Sending and receiving allocate nothing.
func Discard(limits backend.Limits) backend.Sink { return discardSink{limits} }

type discardSink struct{ limits backend.Limits }

func (d discardSink) NewAppender(backend.Format) backend.Appender {
	return backend.Pipelined("discard", d)
}

func (d discardSink) Limits() backend.Limits { return d.limits }

func (d discardSink) Dial(_ context.Context, seq uint64) (backend.Conn, error) {
	return &discardConn{written: seq, answered: seq, changed: make(chan struct{}, 1)}, nil
}

// discardConn counts batches. Written and answered are numbers of the next seq: every smaller seq was written or answered.
type discardConn struct {
	changed chan struct{} // one token: a field below changed

	mu                sync.Mutex
	written, answered uint64
	end               error // Read returns end after the last ack; nil while the connection lives
}

func (c *discardConn) Write(_ context.Context, seq uint64, _ []backend.Record) error {
	c.mu.Lock()
	c.written = seq + 1
	c.mu.Unlock()
	c.signal()
	return nil
}

// Read acknowledges everything written so far with a single ack, because no way of acknowledging is cheaper.
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
