package s2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/httpwire"
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
	r.source = &events{secrets: r.stream.secrets, in: httpwire.NewEventReader(watched{r})}
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
	in      *httpwire.EventReader
}

func (e *events) next() (b wire.Batch, _ bool, err error) {
	for {
		event, err := e.in.Next(eventLimit)
		if errors.Is(err, httpwire.ErrLargeEvent) {
			err = &ProtocolError{err}
		}
		if err != nil {
			return b, false, err
		}
		name, data := event.Name, event.Data
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
