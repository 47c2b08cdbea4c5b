package s2

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/httpwire"
)

// A call is a request with a single answer. do may send a call several times.
type call struct {
	op     string // the operation and its object, for errors
	method string
	url    string
	query  url.Values
	basin  string // for the header s2-basin; "" at account level
	header http.Header
	body   []byte
	kind   string        // the media type of the body and of the answer; "" is JSON (a verdict has another kind)
	wait   time.Duration // the server answers later by the wait: added to the timeout

	once bool // not idempotent: tried again only if the attempt before certainly had no effect
	bare bool // the answer needs no body
}

// responseLimit is the largest answer that is read whole, also after decompression. A page of a thousand streams has less than
// 1 MiB, and a batch at most 2 MiB.
const responseLimit = 8 << 20

// An answer is a successful response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes attempts at a management call until an attempt succeeds, a failure is final, or the attempts are used up. A reply may
// be lost after the call has had its effect, so do keeps in mind whether an earlier attempt may have had its effect.
func (c *Client) do(ctx context.Context, r *call) (a answer, err error) {
	unsure := false // an earlier attempt may have had its effect
	err = httpwire.Retry(ctx, c.cfg.retry, func(int) (again bool, err error) {
		if a, err = c.attempt(ctx, r); err == nil {
			return false, nil
		}
		v := judge(err)
		// Without this case, a deletion that succeeded would be reported as "not found" after a lost reply.
		if unsure && r.method == http.MethodDelete && v.kind == backend.ErrNotFound {
			return false, nil // the earlier attempt deleted the object, and its reply was lost
		}
		// A call that must not happen twice is repeated only after a failure without any effect.
		unsure = unsure || !v.clean()
		return v.retryable() && (v.clean() || !r.once), err
	}, c.logRetries(ctx, r.op))
	if err != nil {
		return answer{}, r.failed(err, unsure)
	}
	return a, nil
}

// pause waits before another attempt. failures is the number of failures in a row, and err is the last failure. pause returns
// false when ctx ends during the wait.
func (c *Client) pause(ctx context.Context, op string, failures int, err error) bool {
	d := c.cfg.retry.Delay(failures, err)
	c.logRetries(ctx, op)(failures, d, err)
	return backoff.Sleep(ctx, d)
}

// logRetries returns a function that logs a failed attempt of op which will be tried again.
func (c *Client) logRetries(ctx context.Context, op string) func(attempt int, pause time.Duration, err error) {
	return func(attempt int, pause time.Duration, err error) {
		c.cfg.logger.LogAttrs(ctx, slog.LevelWarn, "s2: an attempt failed and is repeated",
			slog.String("call", op), slog.Int("attempt", attempt), slog.Duration("pause", pause), slog.Any("error", err))
	}
}

// failed classifies the error of a management call. After a POST of unknown outcome the error is ErrIndeterminate, because
// another call could find the name taken by this one.
func (r *call) failed(err error, unsure bool) error {
	// With a kind, for example a conflict, the server has answered the last attempt with a reason, and the caller needs the
	// reason.
	if r.method == http.MethodPost && unsure && judge(err).kind == nil {
		return fmt.Errorf("s2: %s: %w: %w", r.op, backend.ErrIndeterminate, err)
	}
	return failedCall(r.op, err)
}

// attempt sends the call a single time.
func (c *Client) attempt(ctx context.Context, r *call) (answer, error) {
	// The timeout is for one attempt. For all attempts together, a single slow server would use up the time of the attempts
	// behind.
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout+r.wait)
	defer cancel()
	u := r.url
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		// Each attempt reads the body from its beginning.
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, body)
	if err != nil {
		return answer{}, c.redact(err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	kind := r.kind
	if kind == "" {
		kind = "application/json"
	}
	if r.body != nil {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("Accept", kind)
	c.setHeaders(req, r.basin)
	// The token comes last and anew for each attempt, because a token may have expired since the attempt before.
	if err := c.authorize(ctx, req); err != nil {
		return answer{}, c.redact(err)
	}
	// RoundTrip and not http.Client: the client follows no redirects, because a redirect could take the access token to another
	// host.
	res, err := c.unary.RoundTrip(req)
	if err != nil {
		return answer{}, c.redact(err)
	}
	defer res.Body.Close()
	// A redirect is an error too, because the client does not follow redirects.
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return answer{}, c.refusal(res)
	}
	// A failure here comes after the status: the server has carried out the call. The error is one of the network all the same,
	// so an append counts as doubtful and not as refused.
	got, err := r.readAll(res)
	if err != nil {
		return answer{}, c.redact(err)
	}
	return answer{res.StatusCode, res.Header, got}, nil
}

// errEmpty is the error of a success that says nothing where S2 would. Some proxies answer so when they have lost their server. The
// error counts as one of the network, because the next attempt may reach the server.
var errEmpty = errors.New("the answer is empty, so it is not from the server")

// readAll reads and decompresses a body of limited size. One byte more than the limit is read, to tell a body of exactly the
// limit from a larger body.
func (r *call) readAll(res *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, responseLimit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) == 0 {
		if r.bare || r.kind == protobuf && isProtobuf(res.Header.Get("Content-Type")) {
			return nil, nil
		}
		return nil, errEmpty
	}
	return decompress(res.Header.Get("Content-Encoding"), body)
}

// isProtobuf reports whether a Content-Type is one of protobuf. Protobuf encodes a batch without records and without a tail as no
// bytes at all, so the type alone tells this batch from an answer that is missing.
func isProtobuf(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == protobuf || kind == "application/x-protobuf")
}

// decompress undoes a content-encoding, up to a limited size.
func decompress(encoding string, body []byte) (_ []byte, err error) {
	switch encoding {
	case "", "identity":
	case "zstd":
		body, err = s2s.Unzstd(body, responseLimit)
	case "gzip":
		var gz *gzip.Reader
		if gz, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			// A few compressed kilobytes may decompress to gigabytes. The limit bounds the memory that a server can take.
			body, err = io.ReadAll(io.LimitReader(gz, responseLimit+1))
		}
	default:
		return nil, protocolErrorf("content-encoding %q", encoding)
	}
	if err != nil {
		return nil, protocolErrorf("decompressing the answer: %w", err)
	}
	if len(body) > responseLimit {
		return nil, protocolErrorf("an answer of more than %d bytes", responseLimit)
	}
	return body, nil
}
