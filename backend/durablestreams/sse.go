package durablestreams

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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
	shortLife  = time.Second      // a connection that lives no longer is worth less than a long-poll
	shortLives = 3                // in a row, until long-poll takes over
)

// events is one SSE connection.
type events struct {
	body   io.ReadCloser
	cancel context.CancelFunc
	from   time.Time
	lines  *bufio.Reader
	data   []byte // of the data events that no control event has followed yet
	event  []byte // of the event being read
	some   bool   // a control event has come
}

func (e *events) close() {
	e.cancel()
	_ = e.body.Close()
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
	case resp.StatusCode == http.StatusOK && mediaType(resp.Header.Get("Content-Type")) == "text/event-stream":
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNotAcceptable,
		resp.StatusCode == http.StatusMethodNotAllowed, resp.StatusCode == http.StatusNotImplemented:
		cancel()
		_ = resp.Body.Close()
		r.stream.short.Store(shortLives)
		return nil
	default:
		discard(resp.Body)
		cancel()
		return statusError("read", resp)
	}
	if r.framed != (resp.Header.Get("Stream-SSE-Data-Encoding") == "base64") {
		cancel()
		_ = resp.Body.Close()
		return malformed("Stream-SSE-Data-Encoding %.40q", resp.Header.Get("Stream-SSE-Data-Encoding"))
	}
	r.events = &events{body: resp.Body, cancel: cancel, from: time.Now(), lines: bufio.NewReaderSize(resp.Body, 32<<10)}
	return nil
}

// await makes a response of what comes up to the next control event, or nothing when the connection has ended, which it
// does as a matter of routine. Data without a control event has no place yet: it is dropped, and comes again.
func (r *reader) await() (bool, error) {
	e := r.events
	var timer *time.Timer
	if !e.some {
		timer = time.AfterFunc(firstEvent, e.cancel)
		defer timer.Stop()
	}
	c, err := e.next(r.framed, r.stream.config.messageSize)
	if err == nil {
		e.some = true
		if !validOffset(c.Next) || c.Next < r.ask {
			return false, malformed("streamNextOffset %.40q behind %.40q", c.Next, r.ask)
		}
		if c.Cursor != "" {
			if _, ok := number(c.Cursor); !ok {
				return false, malformed("streamCursor %.40q", c.Cursor)
			}
			r.cursor = c.Cursor
		}
		r.response = response{
			body: io.NopCloser(bytes.NewReader(e.data)), length: int64(len(e.data)), start: r.ask, next: c.Next,
			tail: c.UpToDate || c.Closed, closed: c.Closed,
		}
		r.n, r.split = -int64(len(r.rest)), splitter{many: true, phase: afterArray}
		e.data = nil
		return true, nil
	}
	r.events = nil
	late := timer != nil && !timer.Stop() && r.life.Err() == nil
	lived := time.Since(e.from)
	e.close()
	switch {
	case late:
		r.stream.short.Store(shortLives)
		return false, nil
	case errors.Is(err, backend.ErrTooLarge):
		return false, err
	case errors.Is(err, ErrMalformed):
		return false, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	if lived < shortLife && r.life.Err() == nil {
		r.stream.short.Add(1)
	} else {
		r.stream.short.Store(0)
	}
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, r.failure(err)
}

// control is what a control event says.
type control struct {
	Next     string `json:"streamNextOffset"`
	Cursor   string `json:"streamCursor"`
	UpToDate bool   `json:"upToDate"`
	Closed   bool   `json:"streamClosed"`
}

// next reads events up to a control event and collects in e.data what the data events before it hold: each is an array or a
// base64 text of its own. It returns io.EOF only at the end of the connection.
func (e *events) next(framed bool, limit int) (c control, err error) {
	limit += limit/2 + maxControls // base64 is longer by a third
	var name string
	e.event = e.event[:0]
	for {
		line, err := e.line(limit - len(e.event) - len(e.data))
		if err != nil {
			return c, err
		}
		switch {
		case len(line) > 0 && bytes.HasPrefix(line, []byte("event:")):
			name = string(bytes.TrimPrefix(line[len("event:"):], []byte(" ")))
		case len(line) > 0 && bytes.HasPrefix(line, []byte("data:")):
			if len(e.event) > 0 && !framed {
				e.event = append(e.event, '\n')
			}
			e.event = append(e.event, bytes.TrimPrefix(line[len("data:"):], []byte(" "))...)
		case len(line) > 0: // a comment, or a field that says nothing here
		case name == "data" && framed:
			if e.data, err = base64.StdEncoding.AppendDecode(e.data, e.event); err != nil {
				return c, malformed("an event that is not base64")
			}
			name, e.event = "", e.event[:0]
		case name == "data":
			e.data = append(e.data, e.event...)
			name, e.event = "", e.event[:0]
		case name == "control":
			if len(e.event) > maxControls || json.Unmarshal(e.event, &c) != nil {
				return c, malformed("a control event")
			}
			return c, nil
		default:
			name, e.event = "", e.event[:0]
		}
	}
}

// line returns the next line without its end, which is good until the next call.
func (e *events) line(limit int) ([]byte, error) {
	line, err := e.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > limit {
				break
			}
			line, err = e.lines.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if len(line) > limit {
		return nil, fmt.Errorf("%w: an event of more than %d bytes, by the limit MessageBytes", backend.ErrTooLarge, limit)
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
