package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// origin is the offset of the beginning of every stream, on all servers we know; the conformance suite of the protocol requires
// this offset. Unlike the protocol's own "-1", origin stays the same place when a server drops the beginning of a stream.
const origin = "0000000000000000_0000000000000000"

// staleAnswers is how many stale answers in a row a reader accepts. Eight with the pauses between them take about five seconds.
// If the server repeats the answer for longer, the server has lost records.
const staleAnswers = 8

// errStale: an answer ends before an earlier answer to the same reader. The official reference server gives stale answers under
// load, because the server answers from a file behind its memory.
var errStale = errors.New("the answer is older than the one before")

// request gets the next response. At the tail request waits for the response, over SSE or by long-polls.
func (r *reader) request(ctx context.Context) error {
	// Each turn opens a connection or waits on it, until there is a response, an error, or no more SSE.
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
	// The number of requests is bounded by receive: it asks for another only after a gateway's timeout, once, and after a stale
	// answer, staleAnswers times in a row.
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

// send makes one request. At the tail the request is a long-poll. The request lives as long as the reader, because later calls of
// Read take the body; only the caller's headers are asked for under ctx, the context of this call.
func (r *reader) send(ctx context.Context) (*http.Response, error) {
	params := url.Values{"offset": {r.ask}}
	if r.atTail {
		params.Set("live", "long-poll")
		// The pause comes before the request and not after an answer, so an answer with records is returned at once.
		if !backoff.Sleep(r.life, r.pace.pause()) {
			return nil, r.failure(context.Cause(r.life))
		}
		r.pace.asked = time.Now()
	}
	// The cursor keeps caches from answering a long-poll with an old answer to the same offset.
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

// receive begins the response, or closes the response. again means: ask once more, because another request may bring an answer.
func (r *reader) receive(resp *http.Response) (again bool, err error) {
	switch status := resp.StatusCode; {
	// Without this case, the reader would take the tail for reached, and a consumer that stops at the tail would leave
	// records out.
	case status == http.StatusNoContent && !r.atTail:
		r.discard(resp.Body)
		return false, protocolErrorf("status 204 for a read that does not wait")
	case status == http.StatusOK, status == http.StatusNoContent: // 204 ends a long-poll without data
	case r.atTail && gatewayTimeout(status):
		// A request without waiting shows whether the server behind the gateway works.
		r.discard(resp.Body)
		r.pace.still++
		r.atTail = false
		return true, nil
	default:
		return false, r.refusal(resp)
	}
	// From here on the response belongs to the reader, and its body is read by later calls of Read.
	err = r.begin(resp)
	if err == nil {
		return false, nil
	}
	_ = resp.Body.Close()
	if !errors.Is(err, errStale) || r.stale >= staleAnswers {
		return false, err
	}
	// The server, or another server behind the same address, soon reaches the earlier answer again.
	r.stale++
	if !backoff.Sleep(r.life, pauses.Delay(r.stale, nil)) {
		return false, r.failure(context.Cause(r.life))
	}
	return true, nil
}

// refusal is the error of a status; the body is closed. A 400 is about the offset, unless every server takes the offset ("now" and "-1").
func (r *reader) refusal(resp *http.Response) error {
	r.watch()
	defer r.unwatch()
	e := r.stream.statusError("read", resp)
	// ErrOutOfRange would send a consumer to another start, which meets the same refusal.
	if resp.StatusCode == http.StatusBadRequest && !validOffset(r.ask) {
		e.kinds = []error{backend.ErrRejected}
	}
	return e
}

// errSilent ends a reader in the middle of a response.
var errSilent = fmt.Errorf("the server has sent nothing for %v in the middle of a response", silence)

// watch ends the reader when the server sends nothing for as long as silence. Without watch, a Read would wait for as long as its
// caller, where only the server or a proxy has stopped and the connection lives.
func (r *reader) watch() {
	switch {
	case r.events != nil: // the bytes of an event are here already
	case r.quiet == nil:
		r.quiet = time.AfterFunc(silence, func() { r.cancel(errSilent) })
	default:
		r.quiet.Reset(silence)
	}
}

func (r *reader) unwatch() {
	if r.quiet != nil {
		r.quiet.Stop()
	}
}

// discard is the discard of a body whose server may stop.
func (r *reader) discard(body io.ReadCloser) {
	r.watch()
	defer r.unwatch()
	discard(body)
}

// failure classifies an error of the transport. A read changes nothing, and to read again is always safe. If the reader itself has
// ended, the cause is the reason of the end and not the error of the transport.
func (r *reader) failure(err error) error {
	if r.life.Err() != nil {
		err = context.Cause(r.life)
		if errors.Is(err, backend.ErrClosed) {
			return err
		}
	}
	return lost(err, false)
}
