package zerobus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// lastAcks is how long we read a stream to its end after we have half-closed the stream. A server that is well needs one
// round trip.
const lastAcks = 500 * time.Millisecond

// A conn is one stream of the service, from which [backend.Pipelined] makes a session. Acks are cumulative and offsets
// have no gaps, so the conn keeps only the number of batches in flight, and not the batches.
type conn struct {
	table   string
	id      string // the server's name of the stream
	kind    recordType
	first   uint64 // the seq that has wire offset 0
	stream  grpc.ClientStream
	cancel  context.CancelFunc // cuts the stream off
	release func()             // gives the gRPC connection back
	grant   grant
	sink    *Sink

	out     outgoing       // the message of Write
	in      response       // the message of Read
	calls   sync.WaitGroup // Write and Read
	closing sync.Once

	mu       sync.Mutex
	sent     int64 // batches given to gRPC; the batch that is being written counts
	acked    int64 // batches that are durable
	writing  bool
	reading  bool
	writer   watch
	reader   watch
	cause    error       // why this side ends the stream; the first cause stays
	finished bool        // no batch follows: the stream is half-closed, or will be when Write returns
	over     bool        // the stream has ended, and Read has returned why
	closed   bool        // Close was called
	timer    *time.Timer // ends a pause, and then the wait for the end of the stream
}

// errNotSent says that gRPC refused to send a batch. The code of gRPC's error then says nothing about the batches before.
var errNotSent = errors.New("gRPC did not send a batch")

// Write encodes recs, so lent memory is not read after Write has returned. Write waits while the connection is behind.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := checkHeaderless(recs); err != nil {
		return fmt.Errorf("zerobus: %s: send: batch %d: %w", httpwire.Clip(c.table), seq, err)
	}
	if err := c.beginWrite(ctx); err != nil {
		return err
	}
	defer c.calls.Done()
	c.out.encode(&ingestion{kind: c.kind, offset: int64(seq - c.first), recs: recs})
	return c.endWrite(ctx, c.stream.SendMsg(&c.out))
}

// beginWrite counts the batch as sent, because the ack may come before SendMsg returns.
func (c *conn) beginWrite(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil || c.finished {
		return io.EOF // Read says why
	}
	// A server that reads nothing blocks SendMsg, and SendMsg knows no context of a message.
	c.watchLocked(ctx, &c.writer, &c.writing)
	c.writing = true
	c.sent++
	c.calls.Add(1)
	return nil
}

// endWrite returns what became of the batch. If SendMsg returns an error, gRPC has not sent any part of the batch.
func (c *conn) endWrite(ctx context.Context, err error) error {
	c.out.discard() // memory that SendMsg did not take over
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if err == nil {
		c.advanceLocked()
		return nil
	}
	c.sent--
	if err != io.EOF && c.cause == nil {
		c.endLocked(fmt.Errorf("%w: %w", errNotSent, fromStatus(err, c.grant.hidden)))
		c.cancel()
	}
	c.advanceLocked()
	if interrupted := ctx.Err(); interrupted != nil && c.cause == interrupted {
		return fmt.Errorf("zerobus: %s: send: %w: %w", httpwire.Clip(c.table), backend.ErrTransient, interrupted)
	}
	return io.EOF
}

// Read returns acks until the stream ends. It also notices that the server is about to close the stream, so somebody must
// wait in Read all the time.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return backend.Ack{}, backend.ErrClosed
	}
	c.watchLocked(ctx, &c.reader, &c.reading)
	c.reading = true
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()

	seq, err := c.receive()
	var said *Error
	if err != nil {
		said = statement(err, c.grant.hidden)
		if said.refusesCredentials() {
			c.sink.invalidate(ctx, c.grant)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if err == nil {
		return backend.Ack{Seq: seq}, nil
	}
	return backend.Ack{}, c.lostLocked(said)
}

// receive reads until an ack that says something new, or to the end of the stream.
func (c *conn) receive() (seq uint64, err error) {
	for {
		if err := c.stream.RecvMsg(&c.in); err != nil {
			return 0, err
		}
		switch c.in.kind {
		case ack:
			seq, news, err := c.acknowledged(c.in.acked)
			if news || err != nil {
				return seq, err
			}
		case closing:
			c.rotate(c.in.pause)
		default:
			return 0, breach("unexpected response from server: " + c.in.kind.String())
		}
	}
}

// acknowledged checks an ack against what was sent. An ack that cannot be true tells nothing about what is stored, so it
// ends the stream. An ack that repeats the last one is no news.
func (c *conn) acknowledged(upTo *int64) (seq uint64, news bool, err error) {
	if upTo == nil {
		return 0, false, breach("missing ack offset in server response")
	}
	n := *upTo
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case n < c.acked-1 || n >= c.sent:
		return 0, false, breach(fmt.Sprintf("invalid durability ack offset %d: %d were sent and %d acknowledged", n, c.sent, c.acked))
	case n == c.acked-1:
		return 0, false, nil
	}
	c.acked = n + 1
	c.advanceLocked()
	return c.first + uint64(n), true, nil
}

// lostLocked ends everything, and returns what counts most of what the server said and why this side has ended the stream.
func (c *conn) lostLocked(said *Error) error {
	c.finished, c.over = true, true
	c.stopTimerLocked()
	c.cancel() // a Write that the server holds up returns
	switch {
	case c.cause == nil || said.Code == codes.InvalidArgument:
		return said
	case c.cause == errClosing && said.Code != codes.OK && said.Code != codes.Canceled:
		return said // a server may say more about a stream than that the stream is closing
	}
	return c.cause
}

// Fate is what err means for the batches in flight.
func (c *conn) Fate(err error, unanswered int) error {
	v := verdictOn(err, c.grant.token != nil)
	return &StreamError{Table: c.table, ID: c.id, Err: v.wrap(err, momentOf(unanswered))}
}

// Finish half-closes the stream, upon which a server sends the acks that it still owes and ends the stream. During a pause
// Finish does nothing: the pause is the time in which the server acknowledges, and its end half-closes the stream.
func (c *conn) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != errClosing {
		c.finishLocked()
	}
}

// endLocked makes err the cause, unless there is one.
func (c *conn) endLocked(err error) {
	if c.cause == nil {
		c.cause = err
	}
	c.finishLocked()
}

// finishLocked half-closes the stream and bounds the wait for its end.
func (c *conn) finishLocked() {
	if c.finished {
		return
	}
	c.finished = true
	c.stopTimerLocked() // that of a pause
	c.timer = time.AfterFunc(lastAcks, c.cancel)
	c.halfCloseLocked()
}

// halfCloseLocked half-closes a finished stream as soon as Write does not run: gRPC does not allow CloseSend beside
// SendMsg. A second half-close does nothing.
func (c *conn) halfCloseLocked() {
	if c.finished && !c.writing {
		_ = c.stream.CloseSend()
	}
}

// advanceLocked must be called whenever a batch is acknowledged, sent or refused. It ends a pause in which nothing is left
// to wait for.
func (c *conn) advanceLocked() {
	if c.cause == errClosing && c.acked == c.sent && !c.writing {
		c.finishLocked()
	}
	c.halfCloseLocked()
}

func (c *conn) stopTimerLocked() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Close ends the stream as the protocol wants it, even if acks are owed: half-closed, and read to its end for up to half a
// second. If we cut the stream off, the server would see a failure where there is none.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.finishLocked()
		c.mu.Unlock()
		c.calls.Wait() // finishLocked has bounded this wait
		c.mu.Lock()
		c.writer.end()
		c.reader.end()
		over := c.over
		c.mu.Unlock()
		for r := (response{}); !over && c.stream.RecvMsg(&r) == nil; {
		}
		c.mu.Lock()
		c.stopTimerLocked()
		c.mu.Unlock()
		c.cancel()
		c.release()
	})
	return nil
}
