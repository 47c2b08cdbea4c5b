package s2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// Auth returns the access token for a request. It is called for every request and so should keep a token for as long as it
// is good. ctx bounds what it does. It may be called from several goroutines. A failure is one to try again, unless it
// wraps backend.ErrUnauthorized.
type Auth func(ctx context.Context) (token string, err error)

// Static is an Auth with one token.
func Static(token string) Auth {
	return func(context.Context) (string, error) { return token, nil }
}

// authorize puts the access token on a request.
func (c *Client) authorize(ctx context.Context, r *http.Request) error {
	token, err := c.auth(ctx)
	if err == nil {
		err = checkAccessToken(token)
	}
	if err != nil {
		return &unsentError{fmt.Errorf("access token: %w", err)}
	}
	c.tokens.note(token)
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

func checkAccessToken(token string) error {
	if !httpwire.BearerToken(token) {
		return errors.New("the access token is empty or malformed")
	}
	return nil
}

// tokensKept is how many tokens are hidden in what the server says: an answer may be to a request with one before the last.
const tokensKept = 4

// A tokenLog knows the tokens used last. They sit in a closure, so that printing a Client, however deep, does not print
// them.
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
