package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// Bounds on what a server may send besides data.
const (
	maxHeader   = 64 << 10
	maxDrain    = 64 << 10  // of a body without use: to read the rest keeps the connection usable
	maxOffset   = 255       // of an offset or a cursor, in bytes
	maxNumber   = 1<<53 - 1 // the largest number of the protocol; a float64 still holds it exactly
	maxControls = 16 << 10  // bytes of an SSE control event
)

// request makes one request, with the headers and query parameters of the client and the stream.
func (s *Stream) request(ctx context.Context, method string, params url.Values, body io.ReadCloser) (*http.Request, error) {
	// A wrong option or name is found before the credentials are asked for.
	if err := s.checkAddress(); err != nil {
		return nil, err
	}
	// The URL is copied, because the Stream is shared by many goroutines.
	u := *s.url
	q := make(url.Values, len(params)+len(s.client.config.query)+len(s.config.query))
	if err := setDynamic(ctx, q.Set, s.client.config.query, s.config.query); err != nil {
		return nil, err
	}
	if len(q) > 0 || len(params) > 0 {
		for k, v := range params {
			q[k] = v
		}
		u.RawQuery = q.Encode() // sorted by name, so that caches see one URL
	}
	req := &http.Request{Method: method, URL: &u, Host: u.Host, Header: make(http.Header, 8), Body: body}
	req.Header.Set("User-Agent", s.client.agent)
	if err := setDynamic(ctx, req.Header.Set, s.client.config.headers, s.config.headers); err != nil {
		return nil, err
	}
	if err := sendable(req.Header); err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnauthorized, err)
	}
	// A compressed body could expand without bound, and a compressing codec gains the same.
	req.Header.Set("Accept-Encoding", "identity")
	return req.WithContext(ctx), nil
}

// setDynamic asks for the values of headers or parameters and sets the values. Of two with the same name the later counts.
func setDynamic(ctx context.Context, set func(name, value string), lists ...[]dynamic) error {
	for _, list := range lists {
		for _, d := range list {
			v, err := d.value(ctx)
			if err != nil {
				return credentials(ctx, err)
			}
			set(d.name, v)
		}
	}
	return nil
}

// checkAddress refuses wrong options, and names that lead out of the base URL. We cannot make such a name harmless: some program on
// the way decodes an encoded dot again, and makes one slash of several slashes.
func (s *Stream) checkAddress() error {
	if s.config.wrong != nil {
		return s.config.wrong
	}
	if strings.Contains(s.name, "//") {
		return fmt.Errorf("%w: the name %.80q has slashes with nothing between them", backend.ErrRejected, s.name)
	}
	for part := range strings.SplitSeq(s.name, "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("%w: the name %.80q has a part \".\" or \"..\", which leads out of the base URL", backend.ErrRejected, s.name)
		}
	}
	return nil
}

// sendable refuses headers with wrong values before the transport does, because the transport reports a wrong value like a failure
// of the network, and the caller would try again. A token is secret, so the error names only the header.
func sendable(h http.Header) error {
	for name, values := range h {
		for _, v := range values {
			if !httpwire.HeaderValue(v) {
				return fmt.Errorf("%w: the value of header %s has a control character", backend.ErrRejected, name)
			}
		}
	}
	return nil
}

// credentials classifies an error of the caller's own function.
func credentials(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case errors.Is(err, backend.ErrTransient), errors.Is(err, backend.ErrUnauthorized):
		return err
	}
	return fmt.Errorf("%w: %w", backend.ErrUnauthorized, err)
}

// do sends req. Errors of the transport come back without the URL, where secrets may be, and without the caller's own headers,
// which a broken server or proxy may have sent back.
func (s *Stream) do(req *http.Request) (*http.Response, error) {
	client := s.client.config.http
	if req.URL.Query().Has("live") {
		client = s.client.waiting
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		// url.Error prints the whole URL, with the values of query parameters, which may be secret.
		if errors.As(err, &u) {
			err = u.Err
		}
		// The transport says "context canceled" where the cause says what has ended the request: a timeout, Close, or
		// the end of the session.
		if cause := context.Cause(req.Context()); cause != nil && !errors.Is(err, cause) {
			err = cause
		}
		return nil, s.secrets(req).Error(err)
	}
	resp.Request = req // knows the secrets to hide, also after a redirect or with a transport that sets no Request
	return resp, nil
}

// secrets are the texts to hide in an error when a server repeats one: the user and the path of the base URL, and the values
// of the caller's own headers and query parameters.
func (s *Stream) secrets(req *http.Request) (hidden redact.Secrets) {
	base := s.client.base
	if password, ok := base.User.Password(); ok {
		hidden = redact.Basic(base.User.Username(), password)
	}
	if path := strings.Trim(base.Path, "/"); path != "" {
		hidden = append(hidden, path)
	}
	for _, h := range slices.Concat(s.client.config.headers, s.config.headers) {
		hidden = append(hidden, redact.Authorization(req.Header.Get(h.name))...)
	}
	query := req.URL.Query()
	for _, q := range slices.Concat(s.client.config.query, s.config.query) {
		hidden = append(hidden, query.Get(q.name))
	}
	return hidden
}

// discard reads the little that may be left of a body and closes the body. Otherwise the transport would close the connection
// instead of using the connection again.
func discard(body io.ReadCloser) {
	// A body that goes on is not read to its end: a new connection costs less.
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}

// number reads a number as the protocol writes numbers: digits only, up to 2^53-1.
func number(v string) (int64, bool) {
	// Sixteen digits are enough for 2^53-1. Longer texts are refused before ParseInt looks at them.
	if v == "" || len(v) > 16 {
		return 0, false
	}
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil && n <= maxNumber
}

// validCursor reports whether v is a cursor: digits, of any size. A client does not compare cursors, and only sends the last
// cursor back.
func validCursor(v string) bool {
	return v != "" && len(v) <= maxOffset && strings.Trim(v, "0123456789") == ""
}

// numberOr is number, with a value for a text without a number.
func numberOr(v string, otherwise int64) int64 {
	if n, ok := number(v); ok {
		return n
	}
	return otherwise
}

// isTrue reports whether a header of the protocol says yes.
func isTrue(v string) bool { return strings.EqualFold(strings.TrimSpace(v), "true") }

// validOffset reports whether o can be an offset of a server. Characters forbidden by the protocol would change the meaning of a
// place or of a request. The names "now" and "-1" are no offsets.
func validOffset(o string) bool {
	if o == "" || len(o) > maxOffset || o == "now" || o == "-1" {
		return false
	}
	for i := range len(o) {
		if c := o[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`,&=?/"\`, c) >= 0 {
			return false
		}
	}
	return true
}

// nextOffset reads Stream-Next-Offset.
func nextOffset(h http.Header) (string, error) {
	o := h.Get("Stream-Next-Offset")
	if !validOffset(o) {
		return "", protocolErrorf("Stream-Next-Offset %.40q", o)
	}
	return o, nil
}
