package durablestreams

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
)

const (
	firstEvent = 10 * time.Second // for the first event: what holds it back longer is a proxy that collects
	silence    = 2 * time.Minute  // between events: servers end a connection each minute, so this one is dead
	shortLife  = time.Second      // a connection that lives no longer is worth less than a long-poll
	shortLives = 3                // in a row, until long-poll takes over
)

// overSSE says whether to wait over SSE.
func (r *reader) overSSE() bool {
	if r.stream.short.Load() >= shortLives {
		return false
	}
	wait := r.stream.config.wait
	return wait == waitSSE || wait == waitAuto && r.as == messages
}

// connect opens an SSE connection at r.ask. Without an error and without r.events it does not get through here.
func (r *reader) connect(ctx context.Context) error {
	params := url.Values{"offset": {r.ask}, "live": {"sse"}}
	if r.cursor != "" {
		params.Set("cursor", r.cursor)
	}
	req, err := r.stream.request(ctx, http.MethodGet, params, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	life, cancel := context.WithCancel(r.life)
	timer := time.AfterFunc(firstEvent, cancel)
	resp, err := r.stream.do(req.WithContext(life))
	late := !timer.Stop()
	switch {
	case err != nil && late && r.life.Err() == nil:
		cancel()
		r.stream.short.Store(shortLives)
		return nil
	case err != nil:
		cancel()
		return r.failure(err)
	case resp.StatusCode == http.StatusOK && mediaType(resp.Header.Get("Content-Type")) == "text/event-stream" && !encoded(resp.Header):
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNotAcceptable,
		resp.StatusCode == http.StatusMethodNotAllowed, resp.StatusCode == http.StatusNotImplemented:
		cancel()
		_ = resp.Body.Close()
		r.stream.short.Store(shortLives)
		return nil
	case tiredOfWaiting(resp.StatusCode): // by a gateway that collects the events
		discard(resp.Body)
		cancel()
		r.stream.short.Add(1)
		return nil
	default:
		discard(resp.Body)
		cancel()
		return r.refusal(resp)
	}
	if err := r.identify(resp.Header); err != nil {
		cancel()
		_ = resp.Body.Close()
		return err
	}
	encoding := resp.Header.Get("Stream-SSE-Data-Encoding")
	if binary := r.as != messages && !r.text; encoding != "" && encoding != "base64" || binary != (encoding != "") {
		cancel()
		_ = resp.Body.Close()
		return malformed("Stream-SSE-Data-Encoding %.40q", encoding)
	}
	r.events = &events{
		body: resp.Body, cancel: cancel, since: time.Now(),
		base64: encoding != "", in: bufio.NewReaderSize(resp.Body, 32<<10),
	}
	return nil
}

// await makes a response of what comes up to the next control event, or nothing when the connection has ended, which it
// does as a matter of routine. Data without a control event has no place yet: it is dropped, and comes again.
func (r *reader) await() (bool, error) {
	e := r.events
	patience := silence
	if !e.some {
		patience = firstEvent
	}
	timer := time.AfterFunc(patience, e.cancel)
	c, err := e.next()
	late := !timer.Stop()
	if err == nil {
		if err = r.event(e, c); err == nil {
			return true, nil
		}
	}
	r.events = nil
	e.close()
	lived := time.Since(e.since)
	switch {
	case r.life.Err() != nil:
		return false, r.failure(err)
	case late && !e.some:
		r.stream.short.Store(shortLives)
		return false, nil
	case late, errors.Is(err, context.Canceled): // by the timer, if not of this wait then of the one before
		return false, nil
	case errors.Is(err, backend.ErrTooLarge):
		r.live = false // catches up by a response that can be read in pieces, and is back here at the tail
		return false, nil
	case errors.Is(err, ErrMalformed):
		return false, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case lived < shortLife:
		r.stream.short.Add(1)
	default:
		r.stream.short.Store(0)
	}
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, r.failure(err)
}

// event makes a response of what a control event closes.
func (r *reader) event(e *events, c control) error {
	e.some = true
	if !validOffset(c.Next) || c.Next < r.ask {
		return malformed("streamNextOffset %.40q behind %.40q", c.Next, r.ask)
	}
	if c.Cursor != "" {
		if !validCursor(c.Cursor) {
			return malformed("streamCursor %.40q", c.Cursor)
		}
		r.cursor = c.Cursor
	}
	r.response = response{
		body: io.NopCloser(bytes.NewReader(e.data)), length: int64(len(e.data)), start: r.ask, next: c.Next,
		tail: c.UpToDate || c.Closed, closed: c.Closed,
		whole: r.text, // line ends are not what they were, so bytes cannot be counted
	}
	r.n, r.split = -int64(len(r.rest)), splitter{many: true, phase: afterArray}
	e.data = nil
	return nil
}
