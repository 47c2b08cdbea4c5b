package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// origin is where every stream begins on the servers that there are; the protocol's conformance suite requires it. Unlike
// the protocol's own "-1" it stays the same place when a server drops the beginning of a stream.
const origin = "0000000000000000_0000000000000000"

// A response is what is known of one beside its body.
type response struct {
	body   io.ReadCloser
	length int64
	start  string // offset of the first byte
	next   string // offset behind the last
	tail   bool   // next is the tail
	closed bool   // and there will be no more
	whole  bool   // it is one record
}

// request asks for what is behind r.ask, and waits for it when the tail was reached. The request lives as long as the
// reader, while ctx is that of the call, which the headers are asked for under.
func (r *reader) request(ctx context.Context) error {
	for r.live && r.overSSE() {
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
	params := url.Values{"offset": {r.ask}}
	if r.live {
		params.Set("live", "long-poll")
		if !backoff.Sleep(r.life, r.pace.pause()) {
			return r.failure(context.Cause(r.life))
		}
		r.pace.asked = time.Now()
	}
	if r.cursor != "" {
		params.Set("cursor", r.cursor)
	}
	req, err := r.stream.request(ctx, http.MethodGet, params, nil)
	if err != nil {
		return err
	}
	resp, err := r.stream.do(req.WithContext(r.life))
	if err != nil {
		return r.failure(err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		if !r.live {
			discard(resp.Body)
			return malformed("status 204 for a read that does not wait")
		}
	default:
		discard(resp.Body)
		if r.live && tiredOfWaiting(resp.StatusCode) {
			// Whether the server behind the gateway is well is told by a request that does not wait.
			r.pace.still++
			r.live = false
			return r.request(ctx)
		}
		return r.refusal(resp)
	}
	if err := r.begin(resp); err != nil {
		_ = resp.Body.Close()
		if errors.Is(err, errStale) && r.stale < staleAnswers {
			// Asked again the server, or another one behind the same address, knows what it has told before.
			r.stale++
			if !backoff.Sleep(r.life, pauses.Delay(r.stale, nil)) {
				return r.failure(context.Cause(r.life))
			}
			return r.request(ctx)
		}
		return err
	}
	return nil
}

// errStale says that an answer lies behind an earlier answer to the same reader. The official reference server gives such answers
// under load: it answers from a file that is behind its memory.
var errStale = errors.New("the answer is older than the one before")

// staleAnswers is how many stale answers in a row a reader takes for that, about five seconds long. A server that still says
// the same has lost records.
const staleAnswers = 8

// refusal is the error of an answer. A 400 speaks of the offset, unless the offset is a name that every server takes.
func (r *reader) refusal(resp *http.Response) error {
	e := statusError("read", resp)
	if resp.StatusCode == http.StatusBadRequest && !validOffset(r.ask) {
		e.kinds = []error{backend.ErrRejected}
	}
	return e
}

func (r *reader) begin(resp *http.Response) error {
	if err := r.identify(resp.Header); err != nil {
		return err
	}
	next, err := nextOffset(resp.Header)
	if err != nil {
		return err
	}
	if validOffset(r.ask) && next < r.ask { // offsets are in the order of their bytes
		err := fmt.Errorf("%w: %.40q is beyond the tail, which is %.40q", backend.ErrOutOfRange, r.ask, next)
		if r.answered {
			err = fmt.Errorf("%w: %w", errStale, err)
		}
		return err
	}
	r.answered, r.stale = true, 0
	if c := resp.Header.Get("Stream-Cursor"); c != "" {
		if !validCursor(c) {
			return malformed("Stream-Cursor %.40q", c)
		}
		r.cursor = c
	}
	start, err := startOffset(r.ask, next, resp.Header)
	if err != nil {
		return err
	}
	switch {
	case next != r.ask:
		r.pace.still = 0
	case r.live:
		r.pace.still++
	}
	wait := resp.StatusCode == http.StatusNoContent
	if !wait {
		if encoded(resp.Header) {
			return malformed("content encoding %.40q, which was not asked for", resp.Header.Get("Content-Encoding"))
		}
		if err := r.kind(resp.Header.Get("Content-Type")); err != nil {
			return err
		}
	}
	r.response = response{
		body: resp.Body, length: resp.ContentLength, start: start, next: next,
		tail: isTrue(resp.Header.Get("Stream-Up-To-Date")), closed: isTrue(resp.Header.Get("Stream-Closed")),
	}
	r.tail = r.tail || r.closed || wait
	r.n, r.split = -int64(len(r.rest)), splitter{}
	if wait {
		r.split.phase = afterArray // there is no array
	}
	return nil
}

// encoded says whether the bytes of a response are others than those of the stream.
func encoded(h http.Header) bool {
	e := h.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

// startOffset is where a response begins that was asked for as ask. For "-1" only the server knows, and only ours says so,
// in a header that is no part of the protocol.
func startOffset(ask, next string, h http.Header) (string, error) {
	start := h.Get("Headrace-Start-Offset")
	switch {
	case ask != "-1" || start == "":
		return ask, nil
	case !validOffset(start) || start > next:
		return "", malformed("Headrace-Start-Offset %.40q before %.40q", start, next)
	}
	return start, nil
}

// content is how records are found in the bytes.
type content byte

const (
	unknown  content = iota
	messages         // of a JSON array
	frames           // see the documentation of the package
	chunks           // they are the bytes as they come
)

// kind learns from the content type how records are to be found in the bytes.
func (r *reader) kind(contentType string) error {
	t := mediaType(contentType)
	text := strings.HasPrefix(t, "text/")
	as := frames
	switch {
	case t == jsonType:
		as = messages
	case r.raw:
		as = chunks
	case text:
		return fmt.Errorf("%w: a stream of %.80q has no records, only bytes: see Stream.Raw", backend.ErrUnsupported, t)
	}
	if r.as == unknown {
		r.as, r.text = as, text
	}
	if r.as != as || r.text != text {
		return malformed("the content type has become %.80q", t)
	}
	return nil
}

// failure classifies what the transport says. A read can always be made again.
func (r *reader) failure(err error) error {
	if r.life.Err() != nil {
		err = context.Cause(r.life)
		if errors.Is(err, backend.ErrClosed) {
			return err
		}
	}
	return lost(err, false)
}
