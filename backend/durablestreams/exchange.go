package durablestreams

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"
)

// lateAnswer is the time for an answer whose time has passed while the answers in front were read. The server has mostly
// answered long ago, and the bytes wait in the connection.
const lateAnswer = 100 * time.Millisecond

// An exchange is one request for a batch over a link, and its answer. Write sends the request; begin is its code. Read takes the
// answer; settle is its code. The answers are read in the order of the batches, because the acks come in this order too: an answer
// that comes early waits in its connection.
type exchange struct {
	first    bool // no earlier batch was in flight at the sending
	ticket   ticket
	req      *http.Request
	link     *link
	deadline time.Time // for the answer
	err      error     // why nothing was sent

	writing sync.Mutex // held until the request is written
	failure error      // of the writing of the request; writing guards the field
}

// begin sends the request for b. What goes wrong waits in the exchange for settle, because batches in front have their acks first.
//
// ctx is that of the call, and bounds the wait for a connection. A request that is written in part cannot be taken back.
func (c *conn) begin(ctx context.Context, b *batch) {
	x := new(exchange)
	x.writing.Lock()
	if x.first, x.err = b.isFirst(); x.err == nil {
		x.err = c.open(ctx, b, x)
	}
	switch writes := c.publish(b, x); {
	case !writes:
	case len(b.body) <= atOnce:
		c.write(b, x)
	default:
		go c.write(b, x)
	}
}

// atOnce is the length of a body whose writing never waits: every system takes it into the buffers of a connection on which nothing
// is under way. The writing of a longer body may wait for the network, and would hold up the bodies behind, which have connections of
// their own. So a longer body has a goroutine for its writing, and its answer is awaited meanwhile: a server may refuse a request by
// its headers, and read no more.
const atOnce = 16 << 10

// write sends the request on the link. The end of the session cuts the link, and with it the writing.
func (c *conn) write(b *batch, x *exchange) {
	defer c.requests.Done()
	defer c.wakeBoth()
	defer x.writing.Unlock()
	_ = x.link.conn.SetWriteDeadline(x.deadline)
	x.failure = x.link.send(headOf(x.req, len(b.body)), b.body)
	if x.failure == nil && x.ticket.ordered {
		c.noteWritten(b)
	}
}

// open prepares the request for b and finds a link.
func (c *conn) open(ctx context.Context, b *batch, x *exchange) (err error) {
	client := c.appender.stream.client
	life, cancel := client.attempt(c.life)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if x.req, x.ticket, err = c.prepare(life, b, nil); err != nil {
		return err
	}
	x.deadline, _ = life.Deadline()
	if x.link = client.links.take(); x.link != nil {
		return nil
	}
	if x.link, err = client.dialLink(life); err != nil {
		x.link = nil
		if cause := context.Cause(life); cause != nil {
			err = cause
		}
		return c.unanswerable(x, err, false)
	}
	return nil
}

// publish lets Read find the exchange, and a failure of the connection cut the link. writes is false when there is nothing to write.
// Otherwise the writing counts as a request, for which Close waits.
func (c *conn) publish(b *batch, x *exchange) (writes bool) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	b.exchange = x
	switch {
	case x.err != nil:
		c.wakeBoth()
	case c.failure != nil: // the failure came first, and could not cut the link
		x.link.cut()
	default:
		c.requests.Add(1) // under the lock and after the look at failure, as in start
		if len(b.body) > atOnce {
			c.wakeBoth()
		}
		return true
	}
	return false
}

// oldest returns the first batch without an answer, if the answer can be read. On links batches end in their order.
func (c *conn) oldest() (*batch, *exchange) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.direct || c.unanswered == 0 || c.failure != nil {
		return nil, nil
	}
	b := c.queue[len(c.queue)-c.unanswered]
	return b, b.exchange
}

// await waits until wake has a token, or until the next answer has come. On links no goroutine runs beside Write and Read, so one of
// the two takes the answer: Read as a rule, and Write when Write waits for room and nobody waits in Read.
func (c *conn) await(ctx context.Context, wake <-chan struct{}) error {
	var turn chan struct{}
	b, x := c.oldest()
	if x != nil {
		turn = c.turn
	}
	select {
	case <-wake:
	case turn <- struct{}{}:
		defer func() { <-turn }()
		// Another call may have had the turn in the meantime, and settled this exchange.
		if _, now := c.oldest(); now == x {
			c.settle(ctx, b, x)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// settle reads the answer to x and decides what becomes of b. When ctx or the session ends, settle returns without a decision. A
// batch that is sent again has no batch in flight in front, because all batches in front have ended.
func (c *conn) settle(ctx context.Context, b *batch, x *exchange) {
	ans, err := c.answer(ctx, b, x)
	if err == errGivenUp {
		return
	}
	next, again, err := c.decide(b, x.first, x.ticket, ans, err)
	if again {
		c.begin(ctx, b)
		return
	}
	c.end(b, next, err)
}

// errGivenUp says: the caller wants no answer any more. The answer can still be read later.
var errGivenUp = errors.New("the wait for the answer was given up")

// answer reads the answer to x, and gives the link back.
func (c *conn) answer(ctx context.Context, b *batch, x *exchange) (ans answer, err error) {
	if x.err != nil {
		c.detach(b)
		return ans, x.err
	}
	end := x.interrupt(ctx)
	// Only the wait for the first byte can be given up and begun again. The rest follows at once, and is in doubt otherwise.
	err = x.link.wait()
	if err != nil && (ctx.Err() != nil || c.life.Err() != nil) {
		end()
		return ans, errGivenUp
	}
	var resp *http.Response
	if err == nil {
		resp, err = x.link.answer(x.req)
	}
	if err == nil {
		resp.Request = x.req
		ans, err = c.appender.stream.appended(resp, x.ticket)
	}
	end()
	x.awaitWritten(resp, len(b.body))
	// From here on a failure of the session must not cut the link, which may carry the batch of another session.
	c.detach(b)
	if resp != nil && x.failure == nil && x.link.usable(resp) {
		c.appender.stream.client.links.put(x.link)
		return ans, err
	}
	x.link.cut()
	if resp == nil {
		err = c.unanswerable(x, c.reason(ctx, x, err), true)
	}
	return ans, err
}

// awaitWritten waits until the writing of the request has ended, and holds writing from then on. resp is nil without an answer.
func (x *exchange) awaitWritten(resp *http.Response, bodyLen int) {
	if x.writing.TryLock() {
		return
	}
	// The request is not written, and its answer is here or does not come. The writing ends at once, because the body of the batch
	// is used again. There are two exceptions, where only the goroutine of the writing has not gone on yet: a server that has stored
	// the batch has the whole body, and a short body is in the buffers of the connection. A cut would cost the next append a new
	// connection.
	stored := resp != nil && resp.StatusCode < 300
	if !stored && (resp == nil || bodyLen > atOnce) {
		x.link.cut()
	}
	x.writing.Lock()
}

// interrupt bounds the reading of the answer by the time of the request, and by ctx. The function that interrupt returns ends
// both.
func (x *exchange) interrupt(ctx context.Context) (end func()) {
	deadline := x.deadline
	if now := time.Now(); deadline.Before(now) {
		deadline = now.Add(lateAnswer)
	}
	conn := x.link.conn
	_ = conn.SetReadDeadline(deadline)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	return func() {
		if !stop() {
			<-ended // or the deadline could be set while somebody else reads the link
		}
	}
}

// unanswerable classifies err, for which x has no answer. sent says that a part of the request may have left.
func (c *conn) unanswerable(x *exchange, err error, sent bool) error {
	return noAnswer(x.ticket, c.appender.stream.secrets(x.req).Error(err), sent)
}

// reason says in the words of this client why there is no answer. The error of the reading comes first: after it, the link was cut,
// and the writing may have failed for that.
func (c *conn) reason(ctx context.Context, x *exchange, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(x.failure, os.ErrDeadlineExceeded):
		return c.appender.stream.client.noAnswer
	case x.failure != nil:
		return x.failure
	}
	return err
}

// detach takes the exchange away from the batch.
func (c *conn) detach(b *batch) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	b.exchange = nil
}
