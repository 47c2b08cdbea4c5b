package s2

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/redact"
)

// openEvents opens the session as server-sent events, on a connection that unary calls may use later.
func (r *reader) openEvents(ctx context.Context, q url.Values) error {
	client := r.stream.client()
	req, err := r.stream.request(r.life, http.MethodGet, q)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("S2-Format", "base64")
	req.Header.Del("Accept-Encoding")
	res, err := client.open(ctx, r.kill, client.unary, req)
	if err != nil {
		return err
	}
	r.body = res.Body
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return protocolErrorf("content-type %q, want text/event-stream", res.Header.Get("Content-Type"))
	}
	r.source = &events{secrets: r.stream.secrets, in: bufio.NewReaderSize(watched{r}, 32<<10)}
	return nil
}

// fallBack tries server-sent events where HTTP/2 came to nothing and never has come to anything: the server, or a proxy in
// front of it, may not speak it. What it says then counts, also when it refuses. If it says nothing, why does.
func (r *reader) fallBack(ctx context.Context, q url.Values, why error) error {
	r.stream.client().release(r.transport)
	r.transport = nil
	if r.life.Err() != nil { // it was silent for too long
		r.life, r.kill = context.WithCancel(context.Background())
	}
	err := r.openEvents(ctx, q)
	if refused := new(*Error); err != nil && !errors.As(err, refused) {
		return why
	}
	return err
}

// eventLimit bounds an event: a batch of 1 MiB, of which headers of a byte take four times as much in base64 and brackets,
// with a JSON record around each piece.
const eventLimit = 5 << 20

// events are the batches of a session of server-sent events.
type events struct {
	secrets func() redact.Secrets
	in      *bufio.Reader
}

func (e *events) next() (b wire.Batch, _ bool, err error) {
	for {
		name, data, err := e.event()
		if err != nil {
			return b, false, err
		}
		switch name {
		case "batch":
			b, err = batchJSON(data)
			if err != nil {
				return b, false, &ProtocolError{fmt.Errorf("event %s: %w", name, err)}
			}
			return b, false, nil
		case "ping":
			var ping struct {
				Tail *Position `json:"tail"`
			}
			if err := json.Unmarshal(data, &ping); err != nil {
				return b, false, &ProtocolError{fmt.Errorf("event %s: %w", name, err)}
			}
			if ping.Tail != nil { // older servers do not say
				b.Tail, b.HasTail = wire.Position(*ping.Tail), true
			}
			return b, false, nil
		case "error":
			return b, false, e.refusal(data)
		case "":
			if string(data) == "[DONE]" {
				return b, false, io.EOF
			}
		}
	}
}

// refusal reads the data of an error event, which comes without a status: its code has one.
func (e *events) refusal(data []byte) error {
	err := parseError(http.StatusServiceUnavailable, data, e.secrets()) // worth another try when nothing is known of it
	if v, ok := verdicts[err.Code]; ok {
		err.Status = v.status
	}
	return err
}

// event reads up to the empty line that ends an event. Without one it was cut off.
func (e *events) event() (name string, data []byte, err error) {
	size, lines, begun := 0, 0, false
	for {
		line, err := e.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && (begun || len(line) > 0) {
				err = fmt.Errorf("in an event: %w", io.ErrUnexpectedEOF)
			}
			return "", nil, err
		}
		whole := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if size+len(whole) > eventLimit {
				return "", nil, protocolErrorf("an event of more than %d bytes", eventLimit)
			}
			line, err = e.in.ReadSlice('\n')
			whole = append(whole, line...)
		}
		if err != nil {
			return "", nil, fmt.Errorf("in an event: %w", io.ErrUnexpectedEOF)
		}
		if size += len(whole); size > eventLimit {
			return "", nil, protocolErrorf("an event of more than %d bytes", eventLimit)
		}
		whole = bytes.TrimSuffix(bytes.TrimSuffix(whole, []byte("\n")), []byte("\r"))
		if len(whole) == 0 {
			if lines > 0 {
				return name, data, nil
			}
			name, size, begun = "", 0, false // without data it is none
			continue
		}
		field, value, _ := bytes.Cut(whole, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name, begun = string(value), true
		case "data":
			if lines++; lines > 1 {
				data = append(data, '\n')
			}
			data, begun = append(data, value...), true
		}
	}
}
