package zerobus

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// The headers that the service asks for.
const (
	headerAuthorization = "authorization"
	headerTable         = "x-databricks-zerobus-table-name"
)

// A HeadersProvider says with which headers a stream of a table is opened. It is called for each attempt, from any
// goroutine. The service wants authorization ("Bearer …") and x-databricks-zerobus-table-name.
//
// An error ends the opening. One that wraps [backend.ErrTransient] lets the producer try again, any other is final.
type HeadersProvider interface {
	Headers(ctx context.Context, table string) (map[string]string, error)

	// Invalidate says that the service refused what Headers returned last, with UNAUTHENTICATED or PERMISSION_DENIED. An
	// opening then asks for headers once more.
	Invalidate(ctx context.Context, table string)
}

// HeadersFunc is a [HeadersProvider] that has nothing to invalidate.
type HeadersFunc func(ctx context.Context, table string) (map[string]string, error)

// Headers calls f.
func (f HeadersFunc) Headers(ctx context.Context, table string) (map[string]string, error) {
	return f(ctx, table)
}

// Invalidate does nothing.
func (f HeadersFunc) Invalidate(context.Context, string) {}

// A grant is what one attempt is made with.
type grant struct {
	header metadata.MD
	reused bool   // it was not made for this attempt
	token  *token // nil for provided headers
	hidden redact.Secrets
}

// grant asks the provider, or the cache, or the token endpoint.
func (s *Sink) grant(ctx context.Context, ep endpoint) (grant, error) {
	if p := s.cfg.headers; p != nil {
		given, err := p.Headers(ctx, s.table)
		if err != nil {
			return grant{}, fmt.Errorf("headers provider: %w", err)
		}
		header, err := checkHeaders(given)
		return grant{header: header, reused: true, hidden: provided(header)}, err
	}
	t, reused, err := s.client.tokens.get(ctx, s, ep)
	if err != nil {
		return grant{}, err
	}
	if !httpwire.BearerToken(t.value) {
		return grant{}, fmt.Errorf("%w: the token cannot be a header value", backend.ErrUnauthorized)
	}
	return grant{
		header: metadata.Pairs(headerAuthorization, "Bearer "+t.value, headerTable, s.table),
		reused: reused,
		token:  t,
		hidden: append(redact.Basic(s.client.config.ClientID, s.client.secret()), t.value),
	}, nil
}

// provided are the secrets among the headers of a provider: every value except that which names the table.
func provided(header metadata.MD) (hidden redact.Secrets) {
	for name, values := range header {
		if name != headerTable {
			hidden = append(hidden, redact.Authorization(values[0])...)
		}
	}
	return hidden
}

// invalidate makes the next attempt be made with something else.
func (s *Sink) invalidate(ctx context.Context, g grant) {
	if s.cfg.headers != nil {
		s.cfg.headers.Invalidate(ctx, s.table)
	} else {
		s.client.tokens.forget(s, g.token)
	}
}

// checkHeaders refuses what cannot be sent, which gRPC would else find out half-way. It says which, and not what.
func checkHeaders(given map[string]string) (metadata.MD, error) {
	header := make(metadata.MD, len(given))
	for name, value := range given {
		low := strings.ToLower(name)
		if low == "" || strings.HasPrefix(low, ":") || strings.HasPrefix(low, "grpc-") || strings.ContainsFunc(low, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
		}) {
			return nil, fmt.Errorf("%w: headers provider: the name %q cannot be sent", backend.ErrRejected, httpwire.Clip(name))
		}
		if !strings.HasSuffix(low, "-bin") && !httpwire.Printable(value) {
			why := backend.ErrRejected
			if low == headerAuthorization {
				why = backend.ErrUnauthorized
			}
			return nil, fmt.Errorf("%w: headers provider: the value of %s cannot be a header value", why, low)
		}
		header[low] = []string{value}
	}
	return header, nil
}
