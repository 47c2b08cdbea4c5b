package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"

	"github.com/headrace/headrace/backend"
)

// maxClaims is how many epochs a producer tries to claim. A producer that loses three in a row has a rival that is alive: the
// two would go on for ever.
const maxClaims = 3

// deliver sends a batch until its fate is known. The producer retries what failed; deliver sends again only a batch that came
// too early, and a batch whose epoch another producer had before this producer wrote anything.
func (c *conn) deliver(b *batch) (backend.Offset, error) {
	for claims := 0; ; {
		first := b.before == nil || b.before.ended()
		if first && b.before != nil && b.before.err != nil {
			return "", b.before.err
		}
		t, ans, err := c.post(b)
		reply := classify(ans, err, first, c.appender.highestSent())
		switch act := actions[reply][t.standing]; act {
		case acknowledge:
			c.appender.accepted(t)
			return ans.next, nil
		case claimNext:
			if claims++; claims > maxClaims {
				return "", fmt.Errorf("%w: %d epochs in a row were taken by other producers with this id", backend.ErrFenced, maxClaims)
			}
			c.appender.claim(max(t.epoch, staleEpoch(err)) + 1)
			b.sent = false // under the new epoch
		case sendInTurn:
			if err := c.waitTurn(b); err != nil {
				return "", err
			}
		default:
			return "", b.fail(act, ans, err)
		}
	}
}

// waitTurn waits until the batch before has ended. Nothing of this batch is stored, so it is sent then as if for the first
// time.
func (c *conn) waitTurn(b *batch) error {
	b.sent = false
	c.tooEarly(b)
	select {
	case <-b.before.done: // successful or not: deliver looks
		return nil
	case <-c.life.Done():
		return unanswered(context.Cause(c.life))
	}
}

// fail makes the error with which the batch ends, and notes what the next session has to do.
func (b *batch) fail(act action, ans answer, err error) error {
	switch act {
	case failOvertaken:
		return fmt.Errorf("%w: sequence %d was written by another producer with the same id and epoch", backend.ErrFenced, ans.highest)
	case failMayBeStored:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case failForgotten:
		b.newEpoch = true
		return fmt.Errorf("%w: the server has forgotten this producer: %w", backend.ErrIndeterminate, err)
	case failNewEpoch:
		b.newEpoch = true
	}
	return err
}

// staleEpoch is the server's epoch in a stale answer, and 0 for every other answer.
func staleEpoch(err error) int64 {
	var status *Error
	if errors.As(err, &status) {
		return max(status.Epoch, 0)
	}
	return 0
}

// unanswered is the fate of a request without an answer. The server knows a resend by its sequence.
func unanswered(cause error) error {
	return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, cause)
}

// An answer is what the server says of a batch that is stored.
type answer struct {
	duplicate bool           // it was stored before
	highest   int64          // the highest sequence that the server has of this producer
	next      backend.Offset // "" when the server does not say
}

// post makes one request for a batch. An error without a ticket came before the batch was sent.
func (c *conn) post(b *batch) (t ticket, ans answer, err error) {
	stream := c.appender.stream
	ctx, cancel := stream.client.attempt(c.life)
	defer cancel()
	body := payloadOf(b.body)
	defer body.Close() // the bytes of the batch are used again
	req, err := stream.request(ctx, http.MethodPost, nil, body)
	if err != nil {
		return t, ans, err
	}
	t, ok := c.take(b) // after the credentials: if those fail, nothing is sent
	if !ok {
		return t, ans, unanswered(context.Cause(c.life))
	}
	req.ContentLength = int64(len(b.body))
	c.appender.setHeaders(req.Header, t)
	if t.ordered {
		req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				c.written(b)
			}
		}}))
	}
	resp, err := stream.do(req)
	if err != nil {
		err = lost(err, true)
		if t.standing == mayBeStored && !errors.Is(err, backend.ErrIndeterminate) {
			err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err) // an earlier request may have stored the batch
		}
		return t, ans, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return t, ans, stream.statusError("append", resp)
	}
	discard(resp.Body)
	ans, err = answerOf(resp, t)
	return t, ans, err
}

// setHeaders sets the headers by which the server knows the batch.
func (a *appender) setHeaders(h http.Header, t ticket) {
	h.Set("Content-Type", a.encoding.contentType)
	h.Set("Producer-Id", a.id)
	h.Set("Producer-Epoch", strconv.FormatInt(t.epoch, 10))
	h.Set("Producer-Seq", strconv.FormatInt(t.seq, 10))
}

// answerOf reads the answer to a batch that is stored.
func answerOf(resp *http.Response, t ticket) (ans answer, err error) {
	ans.duplicate = resp.StatusCode == http.StatusNoContent
	highest, ok := number(resp.Header.Get("Producer-Seq"))
	if !ok || highest < t.seq {
		return ans, fmt.Errorf("%w: %w", backend.ErrIndeterminate, protocolErrorf("Producer-Seq %.40q", resp.Header.Get("Producer-Seq")))
	}
	ans.highest = highest
	if o := resp.Header.Get("Stream-Next-Offset"); !ans.duplicate && validOffset(o) {
		ans.next = place(streamID(resp.Header), o, 0)
	}
	return ans, nil
}

// tooEarly makes the batch behind b wait until the request of b was written once more.
func (c *conn) tooEarly(b *batch) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	b.written = false
	a.window.tooEarly(b.seq, c.queue[len(c.queue)-1].seq+1)
}

// written lets the batch behind b start.
func (c *conn) written(b *batch) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	a.window.writesReported = true
	b.written = true
	wake(c.turn)
}
