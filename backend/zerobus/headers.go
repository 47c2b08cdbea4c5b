package zerobus

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// The headers of the service.
const (
	headerAuthorization = "authorization"
	headerTable         = "x-databricks-zerobus-table-name"
)

// A HeadersProvider returns the headers for the streams of a table. The client calls Headers for each attempt, from any
// goroutine. The service requires authorization ("Bearer …") and x-databricks-zerobus-table-name.
//
// A method must return when its context ends. If it does not, the client goes on without its answer.
//
// An error ends the opening. If the error wraps [backend.ErrTransient], the producer tries again. Any other error is final.
type HeadersProvider interface {
	Headers(ctx context.Context, table string) (map[string]string, error)

	// Invalidate says: the service refused the last headers, with UNAUTHENTICATED or PERMISSION_DENIED. An opening then calls
	// Headers once more.
	Invalidate(ctx context.Context, table string)
}

// HeadersFunc is a [HeadersProvider] with nothing to invalidate.
type HeadersFunc func(ctx context.Context, table string) (map[string]string, error)

// Headers calls f.
func (f HeadersFunc) Headers(ctx context.Context, table string) (map[string]string, error) {
	return f(ctx, table)
}

// Invalidate does nothing.
func (f HeadersFunc) Invalidate(context.Context, string) {}

// A grant holds the credentials of an attempt.
type grant struct {
	header http.Header // with names in small letters, as HTTP/2 demands
	cached bool        // the credentials may be older than the attempt
	token  *token      // nil for provided headers
	hidden redact.Secrets
}

// grant asks the provider, or the cache, or the token endpoint.
func (s *Sink) grant(ctx context.Context) (grant, error) {
	if p := s.client.cfg.headers; p != nil {
		var given map[string]string
		var err error
		if ended := await(ctx, func() { given, err = p.Headers(ctx, s.table) }); ended != nil {
			return grant{}, fmt.Errorf("headers provider: no answer: %w", ended)
		}
		if err != nil {
			return grant{}, fmt.Errorf("headers provider: %w", err)
		}
		// A provider may have a cache of its own, so its headers count as cached: after a refusal the provider is
		// asked once more.
		header, err := checkHeaders(given)
		return grant{header: header, cached: true, hidden: provided(header)}, err
	}
	t, cached, err := s.client.tokens.get(ctx, s.table)
	if err != nil {
		return grant{}, err
	}
	// net/http would refuse such a header without a reason that a producer understands, and the producer would try again and again
	// with the same token.
	if !httpwire.BearerToken(t.value) {
		return grant{}, fmt.Errorf("the token cannot be a header value: %w", backend.ErrUnauthorized)
	}
	return grant{
		header: http.Header{headerAuthorization: {"Bearer " + t.value}, headerTable: {s.table}},
		cached: cached,
		token:  t,
		// A server may quote its request in an error, and the error goes into logs.
		hidden: append(redact.Basic(s.client.place.clientID, s.client.secret()), t.value),
	}, nil
}

// invalidate makes the next opening use other credentials.
func (s *Sink) invalidate(ctx context.Context, g grant) {
	if p := s.client.cfg.headers; p != nil {
		_ = await(ctx, func() { p.Invalidate(ctx, s.table) }) // the end of ctx ends the caller's work too
	} else {
		s.client.tokens.forget(s.table, g.token)
	}
}

// await calls f, a method of a HeadersProvider, and returns when f has returned, or at the end of ctx. The method may not look at its
// context, and then an opening or a Close would take as long as the method.
func await(ctx context.Context, f func()) error {
	select {
	case <-start(f):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start calls f in a goroutine. The channel is closed when f has returned.
func start(f func()) <-chan struct{} {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	return returned
}

// provided returns the secrets in the headers of a provider: every value except the name of the table.
func provided(header http.Header) (hidden redact.Secrets) {
	for name, values := range header {
		if name != headerTable {
			hidden = append(hidden, redact.Authorization(values[0])...)
		}
	}
	return hidden
}

// ofHTTP are names that HTTP/2 itself does not allow, or that would contradict the request. A server refuses such a request without a
// reason that a producer understands, and the producer would try again and again.
var ofHTTP = []string{"connection", "content-length", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

// checkHeaders refuses headers with a name or value outside gRPC's rules. The errors have no values, because a value may be a
// secret.
func checkHeaders(given map[string]string) (http.Header, error) {
	header := make(http.Header, len(given))
	for name, value := range given {
		low := strings.ToLower(name)
		if low == "" || strings.HasPrefix(low, ":") || strings.HasPrefix(low, "grpc-") || slices.Contains(ofHTTP, low) || strings.ContainsFunc(low, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
		}) {
			return nil, fmt.Errorf("headers provider: the name %q cannot be sent: %w", httpwire.Clip(name), backend.ErrRejected)
		}
		if strings.HasSuffix(low, "-bin") { // gRPC's name for a header with any bytes
			value = base64.RawStdEncoding.EncodeToString([]byte(value))
		}
		if !httpwire.Printable(value) {
			why := backend.ErrRejected
			if low == headerAuthorization {
				why = backend.ErrUnauthorized
			}
			return nil, fmt.Errorf("headers provider: the value of %s cannot be a header value: %w", low, why)
		}
		header[low] = []string{value}
	}
	return header, nil
}
