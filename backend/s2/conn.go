package s2

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/h2"
)

// lastAnswersWait limits how long Close waits for the answers to batches the server has already got.
const lastAnswersWait = time.Second

// A conn is an append session of S2 on an HTTP/2 connection of its own. The wire has no ids: ack number k of a connection
// belongs to batch number k. Because of this order, the single queue inflight serves both directions.
//
// Goroutines: Write encodes batches and sends the frames. receive reads the server's answers and marks batches as answered.
// Read takes the answered batches off the queue.
//
//	inflight  [ answered batches | batches without an ack ]
//	                             ^ answered
//
// A connection may end in four ways: the server advises to reconnect (advised), the session takes nothing more (finished), the
// response ends or the context of Read ends (ended), or somebody calls Close (closed). In the first two ways the server still
// answers the batches it has got.
//
// Lock order: writing, the lock of the pipelined session (held during Finish and Fate), appender.mu, the locks of out. The locks
// of the Client, of the tokens and of the incarnation are taken alone.
type conn struct {
	appender *appender
	stream   *Stream
	tail     uint64 // with Exclusive: records below it were stored before the connection was made
	token    *string
	out      *h2.Stream // nil before the server has accepted the session
	body     io.ReadCloser
	frames   *s2s.Reader
	coder    *s2s.Coder // only Write uses the coder
	suffix   string     // of offsets

	life     context.Context // of the request
	kill     context.CancelFunc
	readWake chan struct{}  // holds one token: Read may find something new
	received chan struct{}  // closed when receive has returned
	working  sync.WaitGroup // goroutines that write the rest of a batch
	closing  sync.Once

	writing sync.Mutex // held while Write runs

	// The appender's lock guards the rest.
	inflight []batch
	answered int    // batches of inflight, from the front, with an ack
	acks     int    // frames of this connection with an ack
	ackEnd   uint64 // position behind the latest ack
	advised  bool   // the server asked for a reconnection: nothing more is written
	finished bool   // Finish was called: nothing more is written
	ended    error  // why the server sends nothing more
	closed   bool
	drain    *time.Timer // limits the wait for the answers of the server after the last frame
}

// A batch is in flight on a connection.
type batch struct {
	n      int    // records
	at     uint64 // position of the first record: the demanded position with Exclusive, otherwise known from the ack
	resent bool   // an earlier connection took the batch
	ack    wire.Ack
}

// Fate says what err means for the batches without an ack. A certain refusal frees their seqs: the server has stored nothing
// of these batches, and the producer may send other batches under the same seqs.
func (c *conn) Fate(err error, unanswered int) error {
	c.appender.mu.Lock()
	defer c.appender.mu.Unlock()
	fate := meaning(err, c.situationLocked(unanswered))
	if certainlyRefused(fate) {
		c.appender.taken = nil
	}
	return fate
}

// situationLocked says what may have become of the batches without an ack. Call situationLocked only after the connection has
// ended: until then, frames still leave, and their batches may be stored.
//
// In an exclusive session, a resent batch at the head decides first: an earlier connection may have stored the batch, whatever
// this connection has sent.
func (c *conn) situationLocked(unanswered int) situation {
	switch {
	// Nothing of the producer can be stored, so even a failure of unknown outcome leaves no doubt.
	case unanswered == 0:
		return whenIdle
	case c.stream.cfg.exclusive && c.inflight[c.answered].resent:
		return whenResent
	case c.out.Begun() <= c.acks: // every frame that has begun to leave is acknowledged
		return whenUnsent
	case c.stream.cfg.exclusive:
		return whenTraceable
	}
	return whenSent
}

// Finish ends the request. The server then answers the batches it has got, and ends the response.
func (c *conn) Finish() {
	c.appender.mu.Lock()
	defer c.appender.mu.Unlock()
	// From here on Read may return io.EOF: with all answers here, the end of the response is what the caller asked for.
	c.finished = true
	c.drainLocked()
}

// drainLocked ends the request behind the frame now leaving, and gives the server the time of a request to answer the batches in
// flight. Without the time limit, a server without answers would keep the session open for ever.
func (c *conn) drainLocked() {
	c.out.Finish()
	// The time is not restarted. Advice and Finish may both drain the same connection, and the first of them sets the bound.
	if c.drain == nil && c.ended == nil && c.answered < len(c.inflight) {
		c.drain = time.AfterFunc(c.stream.client().cfg.timeout, c.kill)
	}
	wake(c.readWake)
}

// Close gives up the connection. Batches in flight get lastAnswersWait for their answers first. Without this wait, the server
// could store records after the next connection has begun: the records would mix with the records of the next connection
// or, with Exclusive, cost the next connection an attempt.
func (c *conn) Close() error {
	c.closing.Do(c.close)
	return nil
}

func (c *conn) close() {
	a := c.appender
	a.mu.Lock()
	// take looks at closed under the same lock. A batch that enters before is counted in owed below, and no batch enters
	// behind.
	c.closed = true
	if c.drain != nil {
		c.drain.Stop()
	}
	// The server owes answers for batches it may have. A connection without such batches is cut at once.
	owed := c.out != nil && c.answered < len(c.inflight)
	wake(c.readWake)
	a.mu.Unlock()
	if owed {
		c.awaitAnswers()
	}
	if c.out != nil {
		// receive sits in a read of the connection, and only the cut makes the read return. The wait then makes sure that no
		// ack of this connection changes the appender while the next connection resends the same batches.
		_ = c.out.Close()
		<-c.received
	}
	c.kill()
	// Write may still read lent records and use the coder, so we wait for Write. The end of out makes Write return soon.
	c.writing.Lock()
	defer c.writing.Unlock()
	c.working.Wait()
	if c.coder != nil {
		c.coder.Close()
	}
}

// awaitAnswers ends the request and waits for the end of the response, but not longer than lastAnswersWait. The end of the
// request tells the server that no batch follows, so the server stores what it has, answers, and ends the response.
func (c *conn) awaitAnswers() {
	c.out.Finish()
	late := time.NewTimer(lastAnswersWait)
	defer late.Stop()
	select {
	case <-c.received:
	case <-late.C:
	}
}

func (c *conn) op() string { return c.stream.op("append to") }

// wake leaves a token for the goroutine behind the channel. A single token is enough, because the goroutine looks at
// everything again when the token comes.
func wake(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
