package durablestreams

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// origin is the offset at which every stream begins on the servers that exist; the conformance suite of the protocol requires
// it. Unlike the protocol's own "-1", origin stays the same place when a server drops the beginning of a stream.
const origin = "0000000000000000_0000000000000000"

// staleAnswers is how many stale answers in a row a reader accepts, which takes about five seconds. A server that still says
// the same then has lost records.
const staleAnswers = 8

// errStale says that an answer lies behind an earlier answer to the same reader. The official reference server gives such
// answers under load: it answers from a file that is behind its memory.
var errStale = errors.New("the answer is older than the one before")

// request gets the next response. At the tail it waits until there is one, over SSE or by long-polls.
func (r *reader) request(ctx context.Context) error {
	for r.atTail && r.overSSE() {
		if r.events == nil {
			if err := r.connect(ctx); err != nil {
				return err
			}
			continue
		}
		if ok, err := r.await(); ok || err != nil {
			return err
		}
	}
	for {
		resp, err := r.send(ctx)
		if err != nil {
			return err
		}
		again, err := r.receive(resp)
		if !again || err != nil {
			return err
		}
	}
}

// send makes one request, which waits when the tail was reached. The request lives as long as the reader, because Read calls
// take its body; the headers of the caller are asked for under ctx, which is the context of this call.
func (r *reader) send(ctx context.Context) (*http.Response, error) {
	params := url.Values{"offset": {r.ask}}
	if r.atTail {
		params.Set("live", "long-poll")
		if !backoff.Sleep(r.life, r.pace.pause()) {
			return nil, r.failure(context.Cause(r.life))
		}
		r.pace.asked = time.Now()
	}
	if r.cursor != "" {
		params.Set("cursor", r.cursor)
	}
	req, err := r.stream.request(ctx, http.MethodGet, params, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.stream.do(req.WithContext(r.life))
	if err != nil {
		return nil, r.failure(err)
	}
	return resp, nil
}

// receive begins the response, or closes it. again means that another request may bring what this one did not.
func (r *reader) receive(resp *http.Response) (again bool, err error) {
	switch status := resp.StatusCode; {
	case status == http.StatusNoContent && !r.atTail:
		discard(resp.Body)
		return false, protocolErrorf("status 204 for a read that does not wait")
	case status == http.StatusOK, status == http.StatusNoContent:
	case r.atTail && gatewayTimeout(status):
		// A request that does not wait shows whether the server behind the gateway works.
		discard(resp.Body)
		r.pace.still++
		r.atTail = false
		return true, nil
	default:
		return false, r.refusal(resp)
	}
	err = r.begin(resp)
	if err == nil {
		return false, nil
	}
	_ = resp.Body.Close()
	if !errors.Is(err, errStale) || r.stale >= staleAnswers {
		return false, err
	}
	// The server, or another server behind the same address, will know again what the earlier answer said.
	r.stale++
	if !backoff.Sleep(r.life, pauses.Delay(r.stale, nil)) {
		return false, r.failure(context.Cause(r.life))
	}
	return true, nil
}

// refusal is the error of a status; the body is closed. A 400 is about the offset, unless every server takes the offset ("now" and "-1").
func (r *reader) refusal(resp *http.Response) error {
	e := r.stream.statusError("read", resp)
	if resp.StatusCode == http.StatusBadRequest && !validOffset(r.ask) {
		e.kinds = []error{backend.ErrRejected}
	}
	return e
}

// failure classifies an error of the transport. A read changes nothing, so it can always be made again.
func (r *reader) failure(err error) error {
	if r.life.Err() != nil {
		err = context.Cause(r.life)
		if errors.Is(err, backend.ErrClosed) {
			return err
		}
	}
	return lost(err, false)
}
