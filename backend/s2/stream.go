package s2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/redact"
)

// A Stream is an address. Any number of producers and consumers may use a Stream, and any goroutine may call its methods.
type Stream struct {
	basin       *Basin
	name        string
	cfg         streamConfig
	fault       error // a wrong name or option: every operation fails with the fault
	incarnation *incarnation
}

var _ backend.Stream = (*Stream)(nil)

// Name returns the name of the stream.
func (s *Stream) Name() string { return s.name }

// String names the server, the basin and the stream.
func (s *Stream) String() string { return s.basin.String() + "/" + s.name }

// GoString is String, so that %#v does not print credentials.
func (s *Stream) GoString() string { return s.String() }

// LogValue is String, so that logs do not hold credentials.
func (s *Stream) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s *Stream) client() *Client { return s.basin.client }

func (s *Stream) recordsURL() string { return s.basin.url("streams", s.name, "records") }

func (s *Stream) op(what string) string { return fmt.Sprintf("%s %s/%s", what, s.basin.name, s.name) }

// request makes the request for a session.
func (s *Stream) request(ctx context.Context, method string, query url.Values) (*http.Request, error) {
	u := s.recordsURL()
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return nil, err
	}
	s.client().setHeaders(req, s.basin.name)
	for name, v := range s.header() {
		req.Header[name] = v
	}
	return req, nil
}

func (s *Stream) header() http.Header {
	h := http.Header{}
	if s.cfg.key != nil {
		h[keyHeader] = []string{s.cfg.key()}
	}
	if s.cfg.create != "" {
		h["S2-Stream-Config"] = []string{s.cfg.create}
	}
	return h
}

const keyHeader = "S2-Encryption-Key"

// secrets returns the credentials in the requests of the stream.
func (s *Stream) secrets() redact.Secrets { return s.client().secrets(s.header()) }

// CheckTail returns where the next record goes, and the time of the last record. Both are 0 for a stream that never had a
// record.
func (s *Stream) CheckTail(ctx context.Context) (Position, error) {
	return s.tail(ctx, s.op("check tail of"))
}

// tail is CheckTail under the name op.
func (s *Stream) tail(ctx context.Context, op string) (Position, error) {
	if s.fault != nil {
		return Position{}, fmt.Errorf("s2: %s: %w", op, s.fault)
	}
	a, err := s.attemptOnce(ctx, &call{op: op, method: http.MethodGet, url: s.basin.url("streams", s.name, "records", "tail"), basin: s.basin.name})
	if err != nil {
		return Position{}, failedCall(op, err)
	}
	return parseTail(op, a.body)
}

func parseTail(op string, body []byte) (Position, error) {
	var out struct {
		Tail *Position `json:"tail"`
	}
	err := json.Unmarshal(body, &out)
	if err == nil && out.Tail == nil {
		err = errors.New("no tail")
	}
	if err != nil {
		return Position{}, fmt.Errorf("s2: %s: %w", op, protocolErrorf("%w", err))
	}
	return *out.Tail, nil
}

// attemptOnce makes a single attempt at a call on records. Producers and consumers make further attempts themselves.
func (s *Stream) attemptOnce(ctx context.Context, r *call) (answer, error) {
	if r.header == nil {
		r.header = s.header()
	}
	return s.client().attempt(ctx, r)
}
