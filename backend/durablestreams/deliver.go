package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"

	"github.com/headrace/headrace/backend"
)

// maxClaims is how many epochs a producer tries to claim. After three losses in a row a rival is alive: the two producers would
// raise the epoch for ever, and each would fence the other.
const maxClaims = 3

// deliver sends a batch until the fate of the batch is known. It does not retry a failure, because the producer does. deliver
// sends again in two cases only, when the server has certainly not stored the batch: the batch came too early, or another
// producer had the epoch before this producer wrote anything.
//
// The table actions decides, by the reply of the server and by the standing of the batch before the sending. No lock is held
// during a request.
func (c *conn) deliver(b *batch) (backend.Offset, error) {
	for {
		first, err := b.isFirst()
		if err != nil {
			return "", err
		}
		t, ans, err := c.post(b)
		if next, again, err := c.decide(b, first, t, ans, err); !again {
			return next, err
		}
	}
}

// decide says what follows from the answer to a sending of b: the batch is stored, the batch has to be sent again, or the session
// ends. first is the value of isFirst before the sending. If the batch in front ends during the request, its absence may still be
// the reason of a gap in this answer, and the batch is sent once more in vain: harmless, and seldom.
func (c *conn) decide(b *batch, first bool, t ticket, ans answer, err error) (next backend.Offset, again bool, _ error) {
	reply := classify(ans, err, first, c.appender.highestSent())
	switch act := actions[reply][t.standing]; act {
	case actAcknowledge:
		c.appender.accepted(t)
		return ans.next, false, nil
	case actClaimNext:
		err = c.claimNext(b, t, err)
	case actSendInTurn:
		err = c.waitTurn(b)
	default:
		resumed := c.appender.resumed
		// newEpoch only marks the batch. endLocked begins the epoch later, when the error has reached the head of
		// the queue: until then, batches in front may be acknowledged in the old epoch.
		b.newEpoch = !resumed && (act == actFailForgotten || act == actFailNewEpoch)
		err = finalError(act, ans, err, resumed)
	}
	return "", err == nil, err
}

// isFirst reports whether no earlier batch is in flight. If so, the server will never get the batch whose absence it reports, and
// waiting does not help.
//
// If the batch in front has failed, isFirst returns the error of that batch, and the batch is not sent: the server would answer with a gap, and
// the gap would look like a server that has forgotten the producer.
func (b *batch) isFirst() (bool, error) {
	if b.before == nil {
		return true, nil
	}
	if !b.before.ended() {
		return false, nil
	}
	return true, b.before.err
}

// claimNext gives up the epoch of the ticket, and takes the epoch behind the epoch of the server. A stale answer names the server's epoch; a
// duplicate means that the server's epoch is the epoch of the ticket.
func (c *conn) claimNext(b *batch, t ticket, err error) error {
	if b.claims++; b.claims > maxClaims {
		return fmt.Errorf("%w: %d epochs in a row were taken by other producers with this id", backend.ErrFenced, maxClaims)
	}
	c.appender.claim(max(t.epoch, staleEpoch(err)) + 1)
	// Nothing of this batch was sent in the new epoch, so an answer cannot be about an earlier request.
	b.sent = false // in the new epoch
	return nil
}

// waitTurn waits until the batch before has ended. Nothing of this batch is stored, and the next sending counts as the first.
// The wait also ends with an error of the batch before, or with the session. deliver finds the error of the batch before.
func (c *conn) waitTurn(b *batch) error {
	b.sent = false
	c.tooEarly(b)
	select {
	case <-b.before.done:
		return nil
	case <-c.life.Done():
		return inDoubt(context.Cause(c.life))
	}
}

// finalError returns the error that ends the session, and with it the batch.
//
// A resumed appender never begins another epoch, because its epoch is the same in all processes that resume the name. If the
// server has forgotten such an appender, nobody can find out whether the batch is stored. The error then hides the sentinels of
// err: with ErrTransient or ErrIndeterminate the producer would send the batch again, and the batch could be stored twice.
func finalError(act action, ans answer, err error, resumed bool) error {
	switch {
	case act == actFailOvertaken:
		return fmt.Errorf("%w: sequence %d was written by another producer with the same id and epoch", backend.ErrFenced, ans.highest)
	case act == actFailMayBeStored:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case act == actFailForgotten && resumed:
		return fmt.Errorf("%w: the server has forgotten this producer, so it cannot tell a resend from a new batch: %v", backend.ErrConflict, err)
	case act == actFailForgotten:
		return fmt.Errorf("%w: the server has forgotten this producer: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// staleEpoch is the server's epoch in a stale answer, and 0 in every other answer.
func staleEpoch(err error) int64 {
	var status *Error
	if errors.As(err, &status) {
		return max(status.Epoch, 0)
	}
	return 0
}

// inDoubt returns the error of a request without an answer. The batch may be stored, and a resend is safe, because the server
// knows a resend by its sequence.
func inDoubt(cause error) error {
	return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, cause)
}

// An answer is the server's answer to a stored batch.
type answer struct {
	duplicate bool           // the batch was stored before
	highest   int64          // the server's highest sequence of this producer
	next      backend.Offset // "" when the server does not say
}

// post makes one request for a batch through net/http.
func (c *conn) post(b *batch) (t ticket, ans answer, err error) {
	stream := c.appender.stream
	ctx, cancel := stream.client.attempt(c.life)
	defer cancel()
	// Each attempt has its own payload, because the transport may still read the payload of an attempt that was given
	// up.
	body := payloadOf(b.body)
	defer body.Close() // the bytes of the batch are used again
	req, t, err := c.prepare(ctx, b, body)
	if err != nil {
		return t, ans, err
	}
	if t.ordered {
		// The trace costs some allocations a request, and is made only after the server has refused an early batch.
		req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				c.noteWritten(b)
			}
		}}))
	}
	resp, err := stream.do(req)
	if err != nil {
		return t, ans, noAnswer(t, err, true)
	}
	ans, err = stream.appended(resp, t)
	return t, ans, err
}

// prepare makes the request for a batch, and takes the ticket. The ticket is taken after the credentials were asked for: a batch
// without credentials is not sent, and must not count as a batch that may be stored.
func (c *conn) prepare(ctx context.Context, b *batch, body io.ReadCloser) (*http.Request, ticket, error) {
	req, err := c.appender.stream.request(ctx, http.MethodPost, nil, body)
	if err != nil {
		return nil, ticket{}, err
	}
	t, ok := c.take(b)
	if !ok {
		return nil, t, inDoubt(context.Cause(c.life))
	}
	req.ContentLength = int64(len(b.body))
	c.appender.setHeaders(req.Header, t)
	return req, t, nil
}

// noAnswer classifies the failure of a request without an answer. sent is false, or the error says so, when this request was not
// sent. If an earlier request may have stored the batch, the producer must still hear that the batch may be stored.
func noAnswer(t ticket, err error, sent bool) error {
	err = lost(err, sent)
	if t.standing == mayBeStored && !errors.Is(err, backend.ErrIndeterminate) {
		err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// appended reads the answer to a batch. The answer to an append has no body that counts. The body is read to its end, so that the
// connection is used again.
func (s *Stream) appended(resp *http.Response, t ticket) (answer, error) {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return answer{}, s.statusError("append", resp)
	}
	discard(resp.Body)
	return answerOf(resp, t)
}

// setHeaders sets the headers that identify the batch. The content type is part of each append in this protocol, and a wrong one is
// refused.
func (a *appender) setHeaders(h http.Header, t ticket) {
	h.Set("Content-Type", a.encoding.contentType)
	h.Set("Producer-Id", a.id)
	h.Set("Producer-Epoch", strconv.FormatInt(t.epoch, 10))
	h.Set("Producer-Seq", strconv.FormatInt(t.seq, 10))
}

// answerOf reads the answer to a stored batch. Without a sequence in the answer nobody knows whether the server means this batch.
func answerOf(resp *http.Response, t ticket) (ans answer, err error) {
	ans.duplicate = resp.StatusCode == http.StatusNoContent
	// A proxy that answers 200 by itself sends no Producer-Seq. To take such an answer for an ack would lose the batch.
	highest, ok := number(resp.Header.Get("Producer-Seq"))
	if !ok || highest < t.seq {
		return ans, fmt.Errorf("%w: %w", backend.ErrIndeterminate, protocolErrorf("Producer-Seq %.40q", resp.Header.Get("Producer-Seq")))
	}
	ans.highest = highest
	// The offset of a duplicate is the tail of now, and not the end of the batch: no place for a consumer to go on.
	if o := resp.Header.Get("Stream-Next-Offset"); !ans.duplicate && validOffset(o) {
		ans.next = place(streamID(resp.Header), o, 0)
	}
	return ans, nil
}

// tooEarly makes the batch behind b wait until the request of b was written once more, and halves the window.
func (c *conn) tooEarly(b *batch) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	b.written = false
	a.window.tooEarly(b.seq, c.queue[len(c.queue)-1].seq+1)
}

// noteWritten lets the batch behind b start. The transport calls noteWritten from a goroutine of its own.
func (c *conn) noteWritten(b *batch) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	a.window.writesReported = true // from now on mayStartLocked waits for each writing
	b.written = true
	wake(c.writeWake)
}
