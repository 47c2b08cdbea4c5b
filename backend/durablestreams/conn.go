package durablestreams

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A conn carries the batches of one session. HTTP does not keep requests in order. Each batch therefore travels in a
// request of its own, on a connection of its own, and Read returns the answers in the order of the batches.
//
// A batch goes through these steps: Write makes the body and waits until the window has room; the body is sent as often as decide
// says; poll takes the batch from the head of the queue, and Read returns the ack. An error of a batch waits at the head of the
// queue too, behind the acks of the batches before. There are two ways for a request:
//
//   - Over a link, the client's own connection with HTTP/1.1. Write sends the request itself, and Read reads the answer itself: see
//     exchange. No goroutine runs beside the two, except for the writing of a long body.
//   - Through net/http, where links do not reach: HTTP/2, a proxy, or an http.Client of the caller's. A call of an http.Client blocks
//     until the answer has come. If Read made the call, a batch would not leave before somebody calls Recv. So each batch has a
//     goroutine for its calls, run.
//
// A record changes goroutines three times over a link on its way to the receipt: to the sender of the producer, to the receiver of
// the producer, which the network wakes, and to the waiter. A long body makes a fourth change, to its writer. Through net/http there are seven changes: to the sender, to run, to the
// writer of the transport, to the reader of the transport, back to run, to the receiver, and to the waiter.
//
// The lock of the appender guards every field below the channels, and the fields of the batches. The order of locks is:
// first the lock of [backend.Pipelined], which is held during Finish, then the lock of the appender. A payload and an exchange have
// a lock of their own, and links have one; the lock of the appender is never taken under the last two. The lock of an exchange may be
// held while the lock of the appender is taken, and never the other way round.
type conn struct {
	appender  *appender
	life      context.Context
	cancel    context.CancelCauseFunc
	direct    bool           // the requests go over links, and not through net/http
	turn      chan struct{}  // on links: one place, for the call that reads an answer
	readWake  chan struct{}  // one token: Read may find something new
	writeWake chan struct{}  // one token: Write may find room in the window
	requests  sync.WaitGroup // calls of run, and the writing on links

	queue       []*batch // written and not returned by Read, in order
	unanswered  int      // batches of the queue whose fate is not decided
	failure     error    // why nothing more is written
	fateUnknown bool     // failure says nothing about the batches in flight
	finished    bool     // Write will not be called again
}

// A batch is the body of one append. A batch is sent several times if the batch arrives too early: before the batch in front.
type batch struct {
	seq     uint64
	body    []byte
	before  *batch // the batch in front, nil if the queue was empty; only the call that sends and decides uses the field
	claims  int    // epochs claimed for this batch; only the call that sends and decides uses the field
	sent    bool   // in this session, under the present epoch, and not refused as too early since
	written bool   // the request was written to a connection, and not refused as too early since

	exchange *exchange // on links: the request that waits for its answer

	done     chan struct{} // closed when the fields below are set
	next     backend.Offset
	err      error
	newEpoch bool // the next session must begin an epoch at this batch
}

// newConn makes the conn of one session. The requests outlive ctx, which bounds only the opening.
func newConn(ctx context.Context, a *appender) *conn {
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	return &conn{
		appender: a, life: life, cancel: cancel, direct: a.direct, turn: make(chan struct{}, 1),
		readWake: make(chan struct{}, 1), writeWake: make(chan struct{}, 1),
	}
}

// Write starts the request of a batch as soon as the window has room, and over a link sends the request. The body is a copy of the
// records, and lent memory is not read after Write has returned. The copy is made before the wait, while earlier batches are on their way.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	a := c.appender
	b := &batch{seq: seq, done: make(chan struct{})}
	b.body = a.encoding.body(a.buffer(), recs)
	for {
		started, err := c.start(b)
		switch {
		case err != nil:
			return err
		case started && c.direct:
			c.begin(ctx, b)
			return nil
		case started:
			go c.run(b)
			return nil
		}
		if err := c.await(ctx, c.writeWake); err != nil {
			// The batch is not in the queue, so no request can read the body.
			a.reuse(b.body)
			return a.stream.failed("send", fmt.Errorf("%w: %w", backend.ErrTransient, err))
		}
	}
}

// start puts the batch in the queue, unless the request has to wait. Behind a failed batch nothing is sent, because the stream
// would have a hole; io.EOF tells Pipelined to take the reason from Read.
func (c *conn) start(b *batch) (started bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.failure != nil:
		a.reuseLocked(b.body)
		return false, io.EOF
	case !c.mayStartLocked():
		return false, nil
	}
	// The queue holds batches until Read has returned their acks. Most of these batches have ended, and deliver does not wait
	// for them.
	if n := len(c.queue); n > 0 {
		// Only the batch directly in front matters: the batch in front has looked at the batch before itself.
		b.before = c.queue[n-1]
	}
	c.queue = append(c.queue, b)
	c.unanswered++
	if !c.direct {
		c.requests.Add(1) // under the lock and after the look at failure: Close waits for every request started before
	}
	return true, nil
}

// mayStartLocked reports whether another request may start now. Until the server has accepted the first batch of an epoch we
// send nothing else: if another producer has claimed the epoch, every batch sent in the epoch would have to be sent again.
//
// Later the window bounds the requests. If the transport reports the writing of requests, a request also waits until the request
// before was written: the order of writing is nearly the order of arrival.
func (c *conn) mayStartLocked() bool {
	a := c.appender
	if c.unanswered == 0 {
		return true
	}
	// The queue is not empty here: an unanswered batch stays in the queue.
	last := c.queue[len(c.queue)-1]
	return a.epochAccepted && c.unanswered < a.window.size && (!a.window.writesReported || last.written)
}

// run is the goroutine of a batch whose requests go through net/http. run gives the body back when deliver has returned: the payload has taken the bytes away from
// the transport by then.
func (c *conn) run(b *batch) {
	defer c.requests.Done()
	next, err := c.deliver(b)
	c.end(b, next, err)
}

// end notes the fate of a batch.
func (c *conn) end(b *batch, next backend.Offset, err error) {
	b.before = nil // otherwise each batch would keep all earlier batches in memory
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	// The count and done change in one step. Otherwise Read could empty the queue while a request seems to be in flight.
	a.reuseLocked(b.body)
	b.body, b.next, b.err = nil, next, err
	c.unanswered--
	close(b.done)
	c.wakeBoth()
}

// Read returns one ack for each batch. If an ack and a failure are both there, Read returns the ack first.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	for {
		if ack, ok, err := c.poll(); ok || err != nil {
			return ack, err
		}
		if err := c.await(ctx, c.readWake); err != nil {
			// The loop goes on once more: an ack may have come at the same moment, and is returned before the failure.
			c.fail(fmt.Errorf("%w: %w", backend.ErrTransient, err))
		}
	}
}

// poll returns an ack or the reason why there will be no more acks, without waiting.
func (c *conn) poll() (ack backend.Ack, ok bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	var b *batch // the head of the queue, if its fate is known
	if len(c.queue) > 0 && c.queue[0].ended() {
		b = c.queue[0]
	}
	switch {
	case b != nil && b.err != nil:
		return ack, false, c.endLocked(b)
	case b != nil:
		c.queue[0] = nil // or the array under the queue would keep the batch
		c.queue = c.queue[1:]
		return backend.Ack{Seq: b.seq, Next: b.next}, true, nil
	case c.failure != nil:
		return ack, false, c.failure
	// Every batch was answered and returned, so the session may end in order.
	case c.finished && len(c.queue) == 0:
		return ack, false, io.EOF
	}
	return ack, false, nil
}

// endLocked ends the connection with the error of the batch at the head of the queue. The error also counts for the batches
// behind: the server stores batches in order or not at all, and without this batch stores none of the later batches.
//
// The requests end before the epoch changes. Otherwise a request of this session could still leave, under the new epoch.
func (c *conn) endLocked(b *batch) error {
	c.failLocked(b.err)
	if b.newEpoch {
		c.appender.beginEpochLocked(b.seq)
	}
	return b.err
}

// fail ends the connection with err from outside: the caller has left. Such an error says nothing about the batches in flight.
func (c *conn) fail(err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	// Behind the error of a batch, the end from outside is no news: the batch has told the fate of all batches behind.
	if c.failure == nil {
		c.fateUnknown = true
	}
	c.failLocked(err)
}

// failLocked keeps the first failure, and ends the requests in flight.
func (c *conn) failLocked(err error) {
	if c.failure == nil {
		c.failure = err
	}
	// The requests in flight end at once, and each run returns an error in doubt. Close waits for them. Batches on links stay
	// undecided: Fate speaks for them.
	c.cancel(err)
	for _, b := range c.queue {
		if b.exchange != nil && b.exchange.link != nil {
			b.exchange.link.cut()
		}
	}
	c.wakeBoth()
}

// Finish says: no Write follows. Read returns io.EOF after the last ack.
func (c *conn) Finish() {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	c.finished = true
	c.wakeBoth()
}

// Fate returns the fate of the unanswered batches. The error of a batch says everything. If the connection was ended from outside,
// the requests may have arrived, and the fate is unknown.
func (c *conn) Fate(err error, unanswered int) error {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.fateUnknown && unanswered > 0 {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// Close gives up the requests in flight and waits for their goroutines. Pipelined waits for Write and Read. A transport that heeds the context of a request ends each
// at once; nothing of the conn runs when Close has returned.
func (c *conn) Close() error {
	// The order matters: first no new request starts, then the wait ends for good.
	c.fail(backend.ErrClosed)
	c.requests.Wait()
	return nil
}

// wakeBoth wakes Read and Write.
func (c *conn) wakeBoth() {
	wake(c.readWake)
	wake(c.writeWake)
}

// ended reports whether the fate of the batch is decided.
func (b *batch) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// wake leaves a token for the goroutine that waits. If no goroutine waits, the token stays for the next wait.
func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
