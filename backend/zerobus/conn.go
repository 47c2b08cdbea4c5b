package zerobus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/headrace/headrace/backend"
)

// A conn is one stream of the service. [backend.Pipelined] makes a session of a conn. Acks are cumulative and offsets have no
// gaps, so the conn keeps only the numbers of batches, and not the batches.
//
// The stream ends in one of four ways:
//
//   - The server ends the stream. Then Read returns the server's words.
//   - The server announces the end. Then a pause begins: see rotate.
//   - This side has a cause to end the stream, for example a context. Then the conn half-closes the stream, and Read goes on
//     until the server has sent the acks in its hands and has ended the stream, but not for longer than lastAcks.
//   - Close is called. Close does the same.
//
// The fields cause, finished, over and closed change only once. cause says why we end the stream, and from then on Write
// refuses. finished says that the half-close is decided. During a pause there is a cause, but the stream is not finished:
// nothing is sent, and the server goes on to acknowledge. over says that RecvMsg has returned the end, so nobody needs to read
// the rest of the stream.
//
// We cut the stream off only if the server does not end the stream in time, or if the server holds up a message. A stream that
// is cut off loses the acks that the server has sent already, and a producer then sends durable rows again.
//
// Lock order: the lock of the session that Pipelined makes, then mu. Pipelined calls Finish and Fate with its own lock held, so
// no code under mu may call the session. The locks of the token cache and of the connections are never taken under mu.
type conn struct {
	sink    *Sink
	id      string // the server's name of the stream
	kind    recordType
	first   uint64 // the seq of wire offset 0
	stream  grpc.ClientStream
	cancel  context.CancelFunc // cuts the stream off
	release func()             // gives the gRPC connection back
	grant   grant

	out     outgoing       // the message of Write
	in      response       // the message of Read, used again for each
	calls   sync.WaitGroup // Write and Read: Close must not return while Write reads lent records
	closing sync.Once

	// mu is never held during a call of gRPC that may block. CloseSend does not block.
	mu       sync.Mutex
	sent     int64 // batches given to gRPC, and the batch in Write
	acked    int64 // durable batches
	writing  bool
	reading  bool
	writer   watch
	reader   watch
	cause    error       // why we end the stream; the first cause stays
	finished bool        // no batch follows: the stream is half-closed, or will be when Write returns
	over     bool        // the stream has ended, and Read has returned why
	closed   bool        // Close was called
	timer    *time.Timer // ends a pause, and then the wait for the end of the stream
}

// errNotSent says: gRPC refused to send a batch. Then the code of gRPC's error says nothing about earlier batches, which may
// be stored. An interceptor of the caller's DialOptions can cause the refusal.
var errNotSent = errors.New("gRPC did not send a batch")

// Write encodes recs, so lent memory is not read after Write has returned. Write waits while the connection is behind.
//
// Write returns io.EOF if the stream takes no more batches. The reason is Read's to return: the server's last message may say
// more than the failed SendMsg, for example that a row was refused.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := checkHeaderless(recs); err != nil {
		return fmt.Errorf("%s: send: batch %d: %w", c.sink.label(), seq, err)
	}
	if err := c.beginWrite(ctx); err != nil {
		return err
	}
	defer c.calls.Done()
	// Each stream counts its offsets from 0, so a batch that is sent again has another offset and the same seq.
	//
	// A rotation may be announced while we encode. Then the batch is sent all the same: the server still acknowledges during
	// the pause, and the stream is not half-closed before Write has returned.
	c.out.encode(&ingestion{kind: c.kind, offset: int64(seq - c.first), recs: recs})
	return c.endWrite(ctx, c.stream.SendMsg(&c.out))
}

// beginWrite counts the batch as sent, because the ack may come before SendMsg returns.
func (c *conn) beginWrite(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// If the server reads nothing, SendMsg blocks. SendMsg knows only the context of the whole stream, so we watch ctx.
	c.watchLocked(ctx, &c.writer, &c.writing)
	if c.cause != nil || c.finished {
		return c.refusalLocked(ctx)
	}
	c.writing = true
	c.sent++
	c.calls.Add(1)
	return nil
}

// endWrite says whether the batch was sent. If SendMsg returns an error, gRPC has not sent any part of the batch.
func (c *conn) endWrite(ctx context.Context, err error) error {
	c.out.discard() // does nothing if SendMsg took the memory over
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if err == nil {
		c.advanceLocked()
		return nil
	}
	c.sent--
	if err != io.EOF && c.cause == nil { // with io.EOF the stream has ended already
		c.endLocked(fmt.Errorf("%w: %w", errNotSent, fromStatus(err, c.grant.hidden)))
		c.cancel()
	}
	c.advanceLocked()
	return c.refusalLocked(ctx)
}

// refusalLocked is Write's error for a batch that was not sent. If the stream ends because ctx has ended, the caller of Write
// knows the reason already, and the error has to say so.
func (c *conn) refusalLocked(ctx context.Context) error {
	if err := ctx.Err(); err != nil && c.cause == err {
		return fmt.Errorf("%s: send: %w: %w", c.sink.label(), backend.ErrTransient, err)
	}
	return io.EOF
}

// Read returns acks until the stream ends. An error is the server's, or the cause of this side: see lostLocked. Read also
// receives the server's announcement of the end, so somebody must wait in Read all the time.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	c.mu.Lock()
	// Close may already read the rest of the stream, and gRPC does not allow two RecvMsg at once.
	if c.closed {
		c.mu.Unlock()
		return backend.Ack{}, backend.ErrClosed
	}
	c.watchLocked(ctx, &c.reader, &c.reading)
	c.reading = true // from here on the end of ctx half-closes the stream, also while RecvMsg blocks
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()

	seq, err := c.receive()
	if err != nil {
		err = statement(err, c.grant.hidden)
		if refusesCredentials(err) {
			c.sink.invalidate(ctx, c.grant) // or the next opening would use the refused credentials again
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if err == nil {
		return backend.Ack{Seq: seq}, nil
	}
	return backend.Ack{}, c.lostLocked(err)
}

// receive reads to the next ack with news, or to the end of the stream.
func (c *conn) receive() (seq uint64, err error) {
	for {
		// RecvMsg knows only the context of the whole stream. The watch of Read half-closes the stream when the context of the
		// call ends, and then RecvMsg returns the last acks and the end.
		if err := c.stream.RecvMsg(&c.in); err != nil {
			return 0, err
		}
		if c.in.malformed != nil {
			return 0, &ProtocolError{c.in.malformed}
		}
		switch c.in.kind {
		case ack: // cumulative, so there may be fewer acks than batches
			seq, news, err := c.acknowledged(c.in.acked)
			if news || err != nil {
				return seq, err
			}
		case closing:
			c.rotate(c.in.pause)
		default: // the protocol has nothing else for an open stream
			return 0, protocolErrorf("%s on an open stream", c.in.kind)
		}
	}
}

// acknowledged checks an ack against the number of sent batches. An impossible ack ends the stream: after a lie we cannot
// believe the server's other acks either. A repeated ack is no news.
func (c *conn) acknowledged(upTo *int64) (seq uint64, news bool, err error) {
	if upTo == nil {
		return 0, false, protocolErrorf("an acknowledgement without an offset")
	}
	n := *upTo // an offset on the wire, which begins with 0 for each stream
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case n < c.acked-1 || n >= c.sent: // the last ack may be repeated, and an ack for everything before the first batch is -1
		return 0, false, protocolErrorf("an acknowledgement of offset %d, where %d batches were sent and %d acknowledged", n, c.sent, c.acked)
	case n == c.acked-1:
		return 0, false, nil
	}
	c.acked = n + 1
	c.advanceLocked() // the ack may be the last one of a pause
	return c.first + uint64(n), true, nil
}
