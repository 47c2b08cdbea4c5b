package zerobus

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// slowWrite is how often a long Write looks at the end of its context.
const slowWrite = time.Second

// A conn is one stream of the service. [backend.Pipelined] makes a session of a conn. Acks are cumulative and offsets have no
// gaps, so the conn keeps only the numbers of batches, and not the batches.
//
// Goroutines: Write encodes and sends a batch. receive reads what the server says, all the time: a server that gives room for more
// is heard also while nobody calls Read. Read returns the acks that receive has counted.
//
// The stream ends in one of four ways:
//
//   - The server ends the stream. Then Read returns the server's words.
//   - The server announces the end. Then a pause begins: see rotate.
//   - This side has a cause to end the stream, for example a context. Then the conn half-closes the stream, and Read goes on
//     until the server has sent the acks in its hands and has ended the stream, but not for longer than lastAcks.
//   - Close is called. Close does the same.
//
// The fields cause, finished, reason and closed change only once. cause says why we end the stream, and from then on Write
// refuses. finished says that the half-close is decided. During a pause there is a cause, but the stream is not finished:
// nothing is sent, and the server goes on to acknowledge. reason says that the stream has ended, and why.
//
// We cut the stream off only if the server does not end the stream in time, or if the server holds up a message. A stream that
// is cut off loses the acks that the server has sent already, and a producer then sends durable rows again.
//
// Lock order: the lock of the session that Pipelined makes, then mu. Pipelined calls Finish and Fate with its own lock held, so
// no code under mu may call the session. The lock of the token cache is never taken under mu.
type conn struct {
	sink   *Sink
	id     string // the server's name of the stream
	kind   recordType
	first  uint64 // the seq of wire offset 0
	call   *call
	life   context.Context    // of the stream
	cancel context.CancelFunc // cuts the stream off
	grant  grant

	news     chan struct{}  // holds one token: Read may find something new
	received chan struct{}  // closed when receive has returned
	calls    sync.WaitGroup // of Write: Close must not return while Write reads lent records
	closing  sync.Once

	// mu is never held while the network may make the caller wait.
	mu       sync.Mutex
	sent     int64           // batches that have left, and the batch in Write
	acked    int64           // durable batches
	told     int64           // durable batches that Read has returned
	writing  context.Context // of the Write that runs; nil without one
	watch    *time.Timer     // will run checkWrite; nil without one
	cause    error           // why we end the stream; the first cause stays
	finished bool            // no batch follows: the stream is half-closed, or will be when Write returns
	reason   error           // why the stream has ended, for Read; nil before the end
	closed   bool            // Close was called
	timer    *time.Timer     // ends a pause, and then the wait for the end of the stream
}

// Write encodes recs, so lent memory is not read after Write has returned. Write waits while the server takes no more bytes.
//
// Write returns io.EOF if the stream takes no more batches. The reason is Read's to return: the server's last message may say
// more than the failed send, for example that a row was refused.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := checkHeaderless(recs); err != nil {
		return fmt.Errorf("%s: send: batch %d: %w", c.sink.label(), seq, err)
	}
	behind, err := c.beginWrite(ctx)
	if err != nil {
		return err
	}
	defer c.calls.Done()
	buf := messages.Get().(*[]byte)
	defer returnMessage(buf)
	// Each stream counts its offsets from 0, so a batch that is sent again has another offset and the same seq.
	//
	// A rotation may be announced while we encode. Then the batch is sent all the same: the server still acknowledges during
	// the pause, and the stream is not half-closed before Write has returned.
	*buf = (&ingestion{kind: c.kind, offset: int64(seq - c.first), recs: recs}).encode(*buf)
	partly, err := c.call.send(ctx, *buf, behind)
	return c.endWrite(ctx, partly, err)
}

// beginWrite counts the batch as sent, because the ack may come before send returns. behind says that the batches before are not all
// acknowledged.
func (c *conn) beginWrite(ctx context.Context) (behind bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		c.endLocked(err)
	}
	if c.cause != nil || c.finished {
		return false, c.refusalLocked(ctx)
	}
	behind = c.sent > c.acked
	c.writing = ctx
	c.watchLocked()
	c.sent++
	c.calls.Add(1)
	return behind, nil
}

// watchLocked makes checkWrite run once a second while there are Writes. A timer for each Write seemed to cost a lone Send about 1 % more
// processor time.
func (c *conn) watchLocked() {
	if c.watch == nil {
		c.watch = time.AfterFunc(slowWrite, c.checkWrite)
	}
}

// checkWrite ends the stream if the context of a Write has ended. The end of a context does not end a write to a connection, and a
// dead peer takes no bytes: Write would go on for longer than its caller wants to wait. The end of the stream cuts the connection
// after lastAcks.
func (c *conn) checkWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = nil
	switch {
	case c.writing == nil:
	case c.writing.Err() == nil:
		c.watchLocked()
	default:
		c.endLocked(c.writing.Err())
	}
}

// endWrite says whether the batch was sent. After an error, the message has not left whole.
func (c *conn) endWrite(ctx context.Context, partly bool, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = nil
	if err != nil {
		c.sent--
	}
	// ctx has ended while the server gave no room. The half-close keeps the acks that still come.
	if err != nil && err == ctx.Err() {
		c.endLocked(err)
	}
	// Behind a part of a message, nothing else can be sent, and the half-close is of no use.
	if partly {
		c.cancel()
	}
	c.advanceLocked()
	if err != nil {
		return c.refusalLocked(ctx)
	}
	return nil
}

// refusalLocked is Write's error for a batch that was not sent. If the stream ends because ctx has ended, the caller of Write
// knows the reason already, and the error has to say so.
func (c *conn) refusalLocked(ctx context.Context) error {
	if err := ctx.Err(); err != nil && c.cause == err {
		return fmt.Errorf("%s: send: %w: %w", c.sink.label(), backend.ErrTransient, err)
	}
	return io.EOF
}

// Read returns acks until the stream ends. An error is the server's, or the cause of this side: see reasonLocked. The end of ctx ends the
// stream politely, so the acks that the server still sends are not lost.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	done := ctx.Done()
	if err := ctx.Err(); err != nil {
		c.end(err)
	}
	for {
		if ack, ok, err := c.poll(); ok || err != nil {
			return ack, err
		}
		select {
		case <-c.news:
		case <-done:
			c.end(ctx.Err())
			done = nil // from here on the end of the stream is what we wait for
		}
	}
}

// poll returns an ack, or the reason for no further acks, without waiting. Acks come first: an ack that is lost here would make
// the producer send the batch a second time.
func (c *conn) poll() (ack backend.Ack, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.acked > c.told:
		c.told = c.acked
		return backend.Ack{Seq: c.first + uint64(c.acked-1)}, true, nil
	case c.closed:
		return ack, false, backend.ErrClosed
	}
	return ack, false, c.reason
}

// receive reads what the server says, to the end of the stream.
func (c *conn) receive() {
	defer close(c.received)
	for r := (response{}); ; {
		err := c.call.recv(&r)
		if err == nil {
			err = c.obey(&r)
		}
		if err != nil {
			c.streamEnded(endOfStream(err))
			return
		}
	}
}

// obey handles a message. The protocol has nothing else for an open stream.
func (c *conn) obey(r *response) error {
	switch r.kind {
	case ack:
		return c.acknowledged(r.acked)
	case closing:
		c.rotate(r.pause)
		return nil
	}
	return protocolErrorf("%s on an open stream", r.kind)
}

// acknowledged checks an ack against the number of sent batches. An impossible ack ends the stream: after a lie we cannot
// believe the server's other acks either. A repeated ack is no news.
func (c *conn) acknowledged(upTo *int64) error {
	if upTo == nil {
		return protocolErrorf("an acknowledgement without an offset")
	}
	n := *upTo // an offset on the wire, which begins with 0 for each stream
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case n < c.acked-1 || n >= c.sent: // the last ack may be repeated, and an ack for everything before the first batch is -1
		return protocolErrorf("an acknowledgement of offset %d, where %d batches were sent and %d acknowledged", n, c.sent, c.acked)
	case n == c.acked-1:
		return nil
	}
	c.acked = n + 1
	c.advanceLocked() // the ack may be the last one of a pause
	wake(c.news)
	return nil
}

// wake leaves a token. One token is enough, because Read looks at everything again.
func wake(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
