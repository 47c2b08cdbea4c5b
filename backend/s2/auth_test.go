package s2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// Every request asks for a token, so that one that has changed is used by the next session.
func TestTokensMayChange(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Token("second-token"))
	var token atomic.Value
	token.Store("first-token")
	c, err := s2.New(s2.Config{
		Auth:            func(context.Context) (string, error) { return token.Load().(string), nil },
		AccountEndpoint: srv.URL(), BasinEndpoint: srv.URL(),
	})
	check(t, err)
	defer c.Close()
	st := c.Basin(basinName).Stream(streamName())
	for i, err := range said(t, st) {
		if !errors.Is(err, backend.ErrUnauthorized) {
			t.Errorf("with the first token, call %d: %v", i, err)
		}
	}
	token.Store("second-token")
	put(t, st, "a")
	if b := next(t, open(t, st, backend.Earliest)); len(b.Records) != 1 {
		t.Errorf("%q", texts(b.Records))
	}
	if s := fmt.Sprintf("%+v %#v", c, c); strings.Contains(s, "second-token") {
		t.Error("a Client is printed with its token")
	}
}

// Without a token nothing is sent.
func TestATokenThatCannotBeHadIsNoDoubt(t *testing.T) {
	for why, kind := range map[error]error{
		errors.New("the vault is shut"):                            backend.ErrTransient,
		fmt.Errorf("no such account: %w", backend.ErrUnauthorized): backend.ErrUnauthorized,
	} {
		c, err := s2.New(s2.Config{Auth: func(context.Context) (string, error) { return "", why }})
		check(t, err)
		for i, err := range said(t, c.Basin(basinName).Stream("s")) {
			if !errors.Is(err, kind) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), why.Error()) {
				t.Errorf("%v, call %d: %v", why, i, err)
			}
		}
		check(t, c.Close())
	}
}

// All tokens used lately are hidden, since an answer may be to an earlier request.
func TestATokenThatHasChangedIsInNoError(t *testing.T) {
	n := 0
	at := listen(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"code":"bad_header","message":"what is secret-one or %s?"}`, r.Header.Get("Authorization"))
	})
	c, err := s2.New(s2.Config{Auth: func(context.Context) (string, error) {
		n++
		return []string{"secret-one", "secret-two"}[min(n-1, 1)], nil
	}, AccountEndpoint: at, BasinEndpoint: at})
	check(t, err)
	defer c.Close()
	for range 2 {
		if _, err := c.Basin(basinName).Stream("s").CheckTail(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

// A malformed token is a mistake that no further attempt mends.
func TestAMalformedTokenOfAnAuthIsFinal(t *testing.T) {
	for _, bad := range []string{"", "two words", "line\nbreak"} {
		asked := 0
		c, err := s2.New(s2.Config{Auth: func(context.Context) (string, error) { asked++; return bad, nil }})
		check(t, err)
		_, err = admin.New(c).Locations(t.Context())
		if !errors.Is(err, backend.ErrUnauthorized) || asked != 1 || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v after %d attempts, want ErrUnauthorized after the first", bad, err, asked)
		}
		check(t, c.Close())
	}
}

// The headers of such a token are longer than a server takes, and another attempt would fail in the same way.
func TestATokenThatIsTooLongIsFinal(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	client, err := s2.New(s2.Config{Token: strings.Repeat("secret~", 3000), AccountEndpoint: srv.URL(), BasinEndpoint: srv.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Basin(basinName).Stream(streamName()).NewAppender(backend.Format{}).Open(t.Context())
	if err == nil || errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), "shorten the access token") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
