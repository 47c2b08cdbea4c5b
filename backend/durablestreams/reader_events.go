package durablestreams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

const (
	firstEvent = 10 * time.Second // until the first event: servers send an event at once, and only a proxy holds events back
	silence    = 2 * time.Minute  // between events, and between pieces of a response; servers end an SSE connection each minute
	shortLife  = time.Second      // a connection with a shorter life serves less than a long-poll
	shortLives = 3                // short connections in a row, until readers use long-polls
)

// overSSE reports whether to wait over SSE: the stream or the caller wants SSE, and SSE gets through.
func (r *reader) overSSE() bool {
	if r.stream.shortSSE.Load() >= shortLives {
		return false
	}
	wait := r.stream.config.wait
	return wait == waitSSE || wait == waitAuto && r.as == messages
}

// connect opens an SSE connection at r.ask. Without an error and without r.events, SSE does not get through at the moment, and
// shortSSE decides about the next try.
//
// The connection has a context of its own: a timer ends a connection without a first event, and the reader goes on.
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
	// The timer also ends a connection whose headers never come: some proxies hold back the headers with the events.
	life, cancel := context.WithCancel(r.life)
	timer := time.AfterFunc(firstEvent, cancel)
	resp, err := r.stream.do(req.WithContext(life))
	late := !timer.Stop()
	if err != nil {
		cancel()
		// The connection stood, but no answer came: a proxy holds the response back until its end, and an SSE response
		// has no end for a minute. All readers of the Stream go to long-polls at once.
		if late && r.life.Err() == nil {
			r.stream.shortSSE.Store(shortLives)
			return nil
		}
		return r.failure(err)
	}
	usable, err := r.checkEvents(resp)
	if !usable || err != nil {
		if resp.StatusCode != http.StatusOK { // the body of a success may have no end
			r.discard(resp.Body)
		}
		cancel()
		_ = resp.Body.Close()
		return err
	}
	r.events = &events{
		body: resp.Body, cancel: cancel, since: time.Now(),
		base64: resp.Header.Get("Stream-SSE-Data-Encoding") != "", in: httpwire.NewEventReader(resp.Body),
	}
	return nil
}

// checkEvents reports whether the response is an event stream of this stream. If the server or a proxy does not offer SSE,
// checkEvents sends all readers of this Stream to long-polls.
func (r *reader) checkEvents(resp *http.Response) (usable bool, err error) {
	switch status := resp.StatusCode; {
	case status == http.StatusOK && mediaType(resp.Header.Get("Content-Type")) == "text/event-stream" && !encoded(resp.Header):
	case status == http.StatusOK, status == http.StatusNotAcceptable, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		r.stream.shortSSE.Store(shortLives)
		return false, nil
	case gatewayTimeout(status): // from a gateway that collects the events
		r.stream.shortSSE.Add(1)
		return false, nil
	default:
		return false, r.refusal(resp)
	}
	if err := r.identify(resp.Header); err != nil {
		return false, err
	}
	// Bytes come as base64, JSON and text as they are. A server with another view of the stream would be misread.
	encoding := resp.Header.Get("Stream-SSE-Data-Encoding")
	if binary := r.as != messages && !r.text; encoding != "" && encoding != "base64" || binary != (encoding != "") {
		return false, protocolErrorf("Stream-SSE-Data-Encoding %.40q", encoding)
	}
	return true, nil
}

// await makes a response of the events up to the next control event. At the end of the connection there is no response: servers
// end each connection after a minute. Data without a control event has no place yet. The data is dropped, and the next request
// brings the same data again.
func (r *reader) await() (bool, error) {
	e := r.events
	// The first event comes at once from every server, with the tail. After the first, servers may be silent for a while.
	patience := silence
	if !e.controlSeen {
		patience = firstEvent
	}
	// A dead connection gives no error by itself: without the timer a reader would wait for ever behind a router that
	// has forgotten the connection.
	timer := time.AfterFunc(patience, e.cancel)
	c, err := e.next()
	late := !timer.Stop()
	if err == nil {
		if err = r.event(e, c); err == nil {
			return true, nil
		}
	}
	// The connection is given up after every error. The next turn of request opens another, or goes to long-polls.
	r.events = nil
	e.close()
	return false, r.disconnected(e, err, late)
}

// disconnected decides on the end of an SSE connection. nil tells the reader to ask again. late means: the timer of await has
// ended the connection.
func (r *reader) disconnected(e *events, err error, late bool) error {
	switch {
	case r.life.Err() != nil:
		return r.failure(err)
	case late && !e.controlSeen:
		r.stream.shortSSE.Store(shortLives)
		return nil
	case late, errors.Is(err, context.Canceled): // canceled by the timer of this wait, or of the wait before
		return nil
	case errors.Is(err, backend.ErrTooLarge):
		r.atTail = false // a response without SSE is read in pieces, and ends at the tail again
		return nil
	case errors.As(err, new(*ProtocolError)):
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	// What is left is the end of a connection, in order or not. Three short lives in a row are no accident: something on the way
	// cuts event streams.
	case time.Since(e.since) < shortLife:
		r.stream.shortSSE.Add(1)
	default:
		r.stream.shortSSE.Store(0)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return r.failure(err)
}

// event makes a response of the data before a control event. Each data event of a JSON stream is an array of its own, and the
// splitter takes several arrays as one.
func (r *reader) event(e *events, c control) error {
	// A control event has got through, so nothing on the way holds events back, and a later silence is no reason to
	// give SSE up. The offset must not go back: records before it would be read twice.
	e.controlSeen = true
	if !validOffset(c.Next) || c.Next < r.ask {
		return protocolErrorf("streamNextOffset %.40q behind %.40q", c.Next, r.ask)
	}
	if err := r.takeCursor("streamCursor", c.Cursor); err != nil {
		return err
	}
	r.response = response{
		body: io.NopCloser(bytes.NewReader(e.data)), length: int64(len(e.data)), start: r.ask, next: c.Next,
		tail: c.UpToDate || c.Closed, closed: c.Closed,
		whole: r.text, // SSE changes line ends: bytes cannot be counted
	}
	// The bytes in rest belong to the offset before, so the count of a framed stream begins below zero.
	r.count, r.split = -int64(len(r.rest)), splitter{many: true, phase: afterArray}
	e.data = nil // the response owns the bytes now
	return nil
}
