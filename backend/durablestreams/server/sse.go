package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

// eventBytes is about how much one event holds at most. Clients hold a whole event in memory. Our client accepts up to
// 4 MiB, after base64.
const eventBytes = 1 << 20

// follow answers with server-sent events: first the stored data, then new data, until the stream ends or the time of
// the response is over. While there is nothing to send, follow holds no buffer. If something fails, the response ends
// without an error. The client knows the place from the last control event, and reads on from there.
func (h *handler) follow(w http.ResponseWriter, r *http.Request, name string, q query) error {
	limit := min(h.ChunkBytes, eventBytes)
	// The first read happens before the headers are sent, because its refusal needs a status.
	c, err := h.storage.Read(r.Context(), name, q.from, limit)
	if err != nil {
		return err
	}
	ctx, leave := h.waitContext(r, h.Lifetime)
	defer leave()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Headrace-Stream-Id", c.ID)
	header.Set("Cache-Control", "no-cache")
	// nginx, and proxies that follow its example, would collect the events for their buffers, and a reader would get
	// them late or never.
	header.Set("X-Accel-Buffering", "no")
	json := isJSON(c.ContentType)
	binary := !json && !strings.HasPrefix(mediaType(c.ContentType), "text/")
	if binary {
		header.Set("Stream-SSE-Data-Encoding", "base64")
	}
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	for {
		if c.Next > c.From {
			h.stats.read(c)
			// The data and its control event are flushed together. Without its control event, a client drops the data.
			if err := h.event(w, c, json, binary); err != nil {
				return nil // the client reads on from its last control event
			}
		}
		_ = control.SetWriteDeadline(time.Now().Add(h.BodyStall))
		if _, err := w.Write(controlEvent(c, q.cursor)); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		_ = control.SetWriteDeadline(time.Time{})
		// The wait is last, after the control event: a client at the tail must learn at once that it has reached the
		// tail.
		if c.Next == c.Tail && (c.Closed || h.waitWithComments(ctx, w, control, name, c.Next) != nil) {
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		// If another stream has the name now, its offsets mean something else. The response ends, and the client learns
		// the change from its next request.
		id := c.ID
		if c, err = h.storage.Read(ctx, name, c.Next, limit); err != nil || c.ID != id {
			return nil
		}
	}
}

// waitWithComments waits for data. Meanwhile it sends comments, because proxies cut a quiet response.
func (h *handler) waitWithComments(ctx context.Context, w http.ResponseWriter, control *http.ResponseController, name string, at Position) error {
	for {
		wait, cancel := context.WithTimeout(ctx, h.KeepAlive)
		// The wait has a shorter time than the response. Its end without data is the moment for a comment, and the wait
		// begins again.
		err := h.storage.Wait(wait, name, at)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		_ = control.SetWriteDeadline(time.Now().Add(h.BodyStall))
		if _, err := w.Write(comment); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		_ = control.SetWriteDeadline(time.Time{})
	}
}

var comment = []byte(":\n\n")

// controlEvent returns a control event. Only a number in the event comes from the client, so a client cannot inject
// events.
func controlEvent(c Chunk, sent string) []byte {
	b := make([]byte, 0, 192)
	b = append(b, "event: control\ndata:{\"streamNextOffset\":\""...)
	b = append(b, c.Next.String()...)
	b = append(b, '"')
	switch tail := c.Next == c.Tail; {
	case tail && c.Closed:
		b = append(b, `,"upToDate":true,"streamClosed":true`...)
	default:
		b = append(b, `,"streamCursor":"`...)
		b = append(b, cursor(sent, time.Now())...)
		b = append(b, '"')
		if tail {
			b = append(b, `,"upToDate":true`...)
		}
	}
	return append(b, "}\n\n"...)
}

// event writes one data event.
func (h *handler) event(w http.ResponseWriter, c Chunk, json, binary bool) error {
	const (
		open = "event: data\n"
		line = "data:"
		end  = "\n\n"
	)
	if _, err := w.Write([]byte(open)); err != nil {
		return err
	}
	var err error
	switch {
	case json:
		// Stored JSON has no line breaks.
		if _, err = w.Write([]byte(line)); err == nil {
			err = h.send(w, c, true, plainText)
		}
	case binary:
		if _, err = w.Write([]byte(line)); err == nil {
			to := base64.NewEncoder(base64.StdEncoding, w)
			err = h.send(w, c, false, func(_ http.ResponseWriter, p []byte) error {
				_, err := to.Write(p)
				return err
			})
			if err == nil {
				err = to.Close()
			}
		}
	default:
		l := lines{begin: true}
		err = h.send(w, c, false, l.write)
		if err == nil && l.begin {
			_, err = w.Write([]byte(line)) // the text ended with a line break, so the last line is empty
		}
	}
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(end))
	return err
}

// lines splits text at CRLF, CR and LF, and writes the field name data before each line. Without the field name, a line
// of the text could act as a field or an event of its own.
type lines struct {
	begin bool // at the beginning of a line
	cr    bool // the last byte was a CR, so an LF that follows belongs to the same line break
}

func (l *lines) write(w http.ResponseWriter, p []byte) error {
	for len(p) > 0 {
		if l.cr && p[0] == '\n' {
			l.cr = false
			p = p[1:]
			continue
		}
		l.cr = false
		if l.begin {
			// Parsers remove one space after the colon. A line that begins with a space needs another space.
			prefix := "data:"
			if p[0] == ' ' {
				prefix = "data: "
			}
			if _, err := w.Write([]byte(prefix)); err != nil {
				return err
			}
			l.begin = false
		}
		n := bytes.IndexAny(p, "\r\n")
		if n < 0 {
			_, err := w.Write(p)
			return err
		}
		// p belongs to send, which fills it again before the next part. So the line end may be changed in place.
		l.cr = p[n] == '\r'
		p[n] = '\n'
		if _, err := w.Write(p[:n+1]); err != nil {
			return err
		}
		l.begin = true
		p = p[n+1:]
	}
	return nil
}
