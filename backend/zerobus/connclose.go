package zerobus

import (
	"errors"
	"time"

	"google.golang.org/grpc/codes"
)

// lastAcks is how long we read a stream to its end after we have half-closed the stream. A healthy server needs a round trip.
const lastAcks = 500 * time.Millisecond

// streamEnded notes why the stream has ended, and makes Read and Write return.
func (c *conn) streamEnded(err error) {
	if refusesCredentials(err) {
		// Close cancels life after lastAcks, so a provider that hangs does not hold up Close.
		c.sink.invalidate(c.life, c.grant) // or the next opening would use the refused credentials again
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = c.reasonLocked(err)
	c.finished = true // Write sends nothing more
	c.stopTimerLocked()
	c.cancel() // makes a Write return if the server holds Write up
	wake(c.news)
}

// reasonLocked returns why the stream has ended. The server's words and our own cause may both be reasons. A refusal of a
// row counts most, because the producer must find the row. During a pause the server's words count more than the
// announcement, but a lost connection does not: the server leaves, or we have cut the stream off. In all other cases our own cause
// came first, and the server only answers to the end.
func (c *conn) reasonLocked(err error) error {
	// CANCELLED and OK are how a stream ends that we have half-closed or cut off, so they are no news.
	code, said := codeOf(err)
	switch {
	case c.cause == nil || said && code == codes.InvalidArgument:
		return err
	case c.cause == errClosing && !errors.Is(err, errConnection) && (!said || code != codes.OK && code != codes.Canceled):
		return err
	}
	return c.cause
}

// Fate classifies err for the batches in flight, and names the stream.
func (c *conn) Fate(err error, unanswered int) error {
	// With a token of our own, UNAUTHENTICATED is worth another opening: receive has dropped the token from the cache.
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

// end is endLocked with the lock.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
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
	// cancel makes recv return, so Read and Close end even if the server says nothing more.
	c.timer = time.AfterFunc(lastAcks, c.cancel)
	c.call.out.Finish() // behind the message that Write sends
}

// advanceLocked must be called whenever a batch is acknowledged, sent or refused. If everything is acknowledged, the pause
// ends early.
func (c *conn) advanceLocked() {
	if c.cause == errClosing && c.acked == c.sent && c.writing == nil {
		c.finishLocked()
	}
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
		wake(c.news)
		c.mu.Unlock()
		// receive returns at the end of the stream. A server that does not end the stream, or holds a Write up, is cut off by the
		// timer of finishLocked.
		<-c.received
		c.calls.Wait()
		c.stopWatch()
		c.call.cut()
		c.cancel() // behind cut, which has ended the watch over life: nothing runs any more
	})
	return nil
}

// stopWatch is called when no Write runs any more.
func (c *conn) stopWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch != nil {
		c.watch.Stop()
		c.watch = nil
	}
}
