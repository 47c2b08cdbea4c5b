package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/headrace/headrace/backend"
)

const (
	answerTime = 30 * time.Second // for one append, from the first byte to the answer
	claims     = 3                // epochs that are tried before another producer's place is left to it
)

// deliver sends b until its fate is known. It does not send again what failed, but what came too early, or under an epoch
// that was taken before this producer ever wrote.
func (s *session) deliver(b *batch) (backend.Offset, error) {
	a := s.appender
	for claim := 0; ; {
		alone := b.prev == nil || ended(b.prev)
		if alone && b.prev != nil && b.prev.err != nil {
			return "", b.prev.err
		}
		ans, t, err := s.post(b)
		var status *StatusError
		refused := errors.As(err, &status)
		stale := refused && status.Epoch >= 0
		gap := refused && status.Expected >= 0
		switch {
		case t.contested && !t.again && (stale || err == nil && ans.duplicate):
			// Somebody has this epoch or a later one, and nothing of ours is stored.
			if claim++; claim > claims {
				return "", s.failed("append", fmt.Errorf("%w: %d epochs in a row were taken", backend.ErrFenced, claims))
			}
			taken := t.epoch
			if stale {
				taken = max(taken, status.Epoch)
			}
			a.claim(taken + 1)
			b.sent = false
		case err == nil && (ans.highest > a.highest() || t.first && ans.duplicate && !t.again):
			// The second is what an epoch that was begun after a refusal meets when another process has claimed it meanwhile.
			return "", s.failed("append", fmt.Errorf("%w: sequence %d was written by another with the same id and epoch", backend.ErrFenced, ans.highest))
		case err == nil:
			a.accepted(t)
			b.prev = nil
			return ans.next, nil
		case gap && !alone:
			b.sent = false // nothing of it is stored
			s.early(b)
			select {
			case <-b.prev.done: // its turn has come, or never will
			case <-s.life.Done():
				return "", s.lost(context.Cause(s.life))
			}
		case gap:
			b.renew = true
			return "", s.failed("append", fmt.Errorf("%w: the server has forgotten this producer: %w", backend.ErrIndeterminate, err))
		case stale && t.again:
			return "", s.failed("append", fmt.Errorf("%w: %w", backend.ErrIndeterminate, err))
		case refused && (errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)):
			b.renew = true
			return "", s.failed("append", err)
		case refused:
			return "", s.failed("append", err)
		default:
			return "", err
		}
	}
}

func ended(b *batch) bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// lost is the fate of a request without an answer: the server knows a resend by its sequence.
func (s *session) lost(cause error) error {
	return s.failed("append", fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, cause))
}

// A ticket is under what name a batch is sent.
type ticket struct {
	epoch, seq int64
	again      bool // it may have been stored under this ticket
	contested  bool // others may have the epoch, and it may still be given up for a later one
	first      bool // nothing of this epoch was accepted, and others may have it
	ordered    bool // the batch behind it waits until this one was written
}

// take names the batch, unless the session is over: the epoch may be the next one's by then, under which nothing was sent.
func (s *session) take(b *batch) (t ticket, ok bool) {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.life.Err() != nil {
		return t, false
	}
	t = ticket{
		epoch: a.epoch, seq: int64(b.seq - a.base), ordered: a.window.ordered,
		contested: !a.claimed && !a.private && !a.given, first: !a.steady && !a.private,
	}
	t.again = b.sent || t.seq <= a.before
	b.sent = true
	a.sent = max(a.sent, t.seq)
	return t, true
}

func (a *appender) claim(epoch int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch, a.sent, a.before = epoch, -1, -1
}

func (a *appender) highest() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent
}

// accepted takes note that the server has taken a batch under t. It may say so when another epoch has begun.
func (a *appender) accepted(t ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.claimed, a.steady = true, a.steady || t.epoch == a.epoch
	a.window.accepted(a.stream.config.inFlight)
}

// An answer is what the server says of a batch that is stored.
type answer struct {
	duplicate bool           // it was stored before
	highest   int64          // the highest sequence that the server has of this producer
	next      backend.Offset // "" when the server does not say
}

// post makes one request of b. Nothing is known of a ticket with an error that came before it was taken.
func (s *session) post(b *batch) (ans answer, t ticket, err error) {
	ctx, cancel := context.WithTimeout(s.life, answerTime)
	defer cancel()
	stream := s.appender.stream
	body := payloadOf(b.body)
	defer body.Close() // the batch's bytes are used again
	req, err := stream.request(ctx, http.MethodPost, nil, body)
	if err != nil {
		return ans, t, s.failed("append", err)
	}
	t, ok := s.take(b) // not before the credentials are there: without them nothing is sent
	if !ok {
		return ans, t, s.lost(context.Cause(s.life))
	}
	req.ContentLength = int64(len(b.body))
	req.Header.Set("Content-Type", s.appender.encoding.contentType)
	req.Header.Set("Producer-Id", s.appender.id)
	req.Header.Set("Producer-Epoch", strconv.FormatInt(t.epoch, 10))
	req.Header.Set("Producer-Seq", strconv.FormatInt(t.seq, 10))
	if t.ordered {
		req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				s.written(b)
			}
		}}))
	}
	resp, err := stream.do(req)
	if err != nil {
		if err = lost(err, true); t.again && !errors.Is(err, backend.ErrIndeterminate) {
			err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err) // by what was sent before
		}
		return ans, t, s.failed("append", err)
	}
	discard(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
	default:
		return ans, t, statusError("append", resp)
	}
	ans.duplicate = resp.StatusCode == http.StatusNoContent
	highest, ok := number(resp.Header.Get("Producer-Seq"))
	if !ok || highest < t.seq {
		return ans, t, s.failed("append", fmt.Errorf("%w: %w", backend.ErrIndeterminate, malformed("Producer-Seq %.40q", resp.Header.Get("Producer-Seq"))))
	}
	ans.highest = highest
	if o := resp.Header.Get("Stream-Next-Offset"); !ans.duplicate && validOffset(o) {
		ans.next = place(streamID(resp.Header), o, 0)
	}
	return ans, t, nil
}
