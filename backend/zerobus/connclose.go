package zerobus

import (
	"time"

	"google.golang.org/grpc/codes"
)

// lastAcks is how long we read a stream to its end after we have half-closed the stream. A healthy server needs a round trip.
const lastAcks = 500 * time.Millisecond

// lostLocked ends everything, and returns the reason. The server's words and our own cause may both be reasons. A refusal of a
// row counts most, because the producer must find the row. During a pause the server's words count more than the
// announcement. In all other cases our own cause came first, and the server only answers to the end.
func (c *conn) lostLocked(err error) error {
	c.finished, c.over = true, true // Write sends nothing more, and Close reads nothing more
	c.stopTimerLocked()
	c.cancel() // makes a Write return if the server holds Write up
	// CANCELLED and OK are how a stream ends that we have half-closed or cut off, so they are no news.
	code, said := codeOf(err)
	switch {
	case c.cause == nil || said && code == codes.InvalidArgument:
		return err
	case c.cause == errClosing && (!said || code != codes.OK && code != codes.Canceled):
		return err
	}
	return c.cause
}

// Fate classifies err for the batches in flight, and names the stream.
func (c *conn) Fate(err error, unanswered int) error {
	// With a token of our own, UNAUTHENTICATED is worth another opening: Read has dropped the token from the cache.
	v := verdictOn(err, c.grant.token != nil)
	return &StreamError{Table: c.sink.table, ID: c.id, Err: v.wrap(err, momentOf(unanswered))}
}

// Finish half-closes the stream. Then the server sends the last acks and ends the stream. During a pause Finish does nothing:
// the server uses the pause for acks, and the end of the pause half-closes the stream.
func (c *conn) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != errClosing {
		c.finishLocked()
	}
}

// endLocked half-closes the stream because of err. The first cause stays: what fails later follows from the first cause.
func (c *conn) endLocked(err error) {
	if c.cause == nil {
		c.cause = err
	}
	c.finishLocked()
}

// finishLocked half-closes the stream and bounds the wait for its end. A server that never ends the stream must not hold up
// a producer that wants to open another.
func (c *conn) finishLocked() {
	if c.finished {
		return
	}
	c.finished = true
	c.stopTimerLocked() // the timer of a pause
	// cancel makes RecvMsg return, so Read and Close end even if the server says nothing more.
	c.timer = time.AfterFunc(lastAcks, c.cancel)
	c.halfCloseLocked() // if Write runs, endWrite calls it again
}

// halfCloseLocked half-closes a finished stream as soon as Write does not run: gRPC does not allow CloseSend beside
// SendMsg. A second half-close does nothing.
func (c *conn) halfCloseLocked() {
	if c.finished && !c.writing {
		_ = c.stream.CloseSend()
	}
}

// advanceLocked must be called whenever a batch is acknowledged, sent or refused. If everything is acknowledged, the pause
// ends early.
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

// Close ends the stream politely, even if acks are missing: Close half-closes the stream and reads to the end, for up to half
// a second. If we cut the stream off, the server would see a failure.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.finishLocked() // this also ends a pause
		c.mu.Unlock()
		// Read returns at the end of the stream, and a Write that the server holds up returns when the timer of finishLocked
		// has cut the stream off.
		c.calls.Wait()
		c.mu.Lock()
		c.writer.endLocked()
		c.reader.endLocked()
		over := c.over
		c.mu.Unlock()
		// Acks that come now have no receiver. The batches count as not acknowledged, and a producer sends them again.
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
