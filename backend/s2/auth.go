package s2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// An Auth returns the access token for a request. The client calls the Auth for every request, from several goroutines, so the Auth
// should keep a token for as long as the token is good. ctx bounds the call. After a failure the request may be tried again, unless
// the error wraps [backend.ErrUnauthorized]. An empty or malformed token is backend.ErrUnauthorized.
type Auth func(ctx context.Context) (token string, err error)

// static returns an Auth whose token stays in a closure, so that printing a Client, however deep, does not print the token.
func static(token string) Auth {
	return func(context.Context) (string, error) { return token, nil }
}

var errMalformedToken = errors.New("the access token is empty or malformed")

// authorize puts the access token on a request.
func (c *Client) authorize(ctx context.Context, r *http.Request) error {
	token, err := c.auth(ctx)
	if err == nil && !httpwire.BearerToken(token) {
		err = fmt.Errorf("%w: %w", backend.ErrUnauthorized, errMalformedToken)
	}
	if err != nil {
		return &unsentError{fmt.Errorf("access token: %w", err)}
	}
	c.tokens.note(token)
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// tokensKept is how many tokens are hidden in the server's texts. An answer may be about an earlier request, with an earlier
// token.
const tokensKept = 4

// A tokenLog knows the tokens of the latest requests. A closure holds the tokens, so that printing a Client, however deep, does
// not print the tokens.
type tokenLog struct {
	mu   sync.Mutex
	last func() redact.Secrets
}

func (l *tokenLog) note(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept redact.Secrets
	if l.last != nil {
		kept = l.last()
	}
	if slices.Contains(kept, token) {
		return
	}
	kept = append(slices.Clone(kept[max(0, len(kept)+1-tokensKept):]), token)
	l.last = func() redact.Secrets { return kept }
}

func (l *tokenLog) secrets() redact.Secrets {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		return nil
	}
	return slices.Clone(l.last())
}
