package zerobus_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// The token request has exactly the expected form, and the credentials are not escaped.
func TestTokenRequest(t *testing.T) {
	const id, secret = "id+1", "s%:c/ret ü"
	var form url.Values
	oauth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.URL.Path != "/oidc/v1/token" || user != id || password != secret ||
			r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "*/*" || r.ParseForm() != nil {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"tok","token_type":"Bearer","expires_in":"3600"}`)
	}))
	defer oauth.Close()
	srv := serve(t, zerobustest.Token("tok"))
	c := zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: oauth.URL + "/", ClientID: id, ClientSecret: secret, WorkspaceID: "42"}
	open(t, clientOf(c).Table(table))
	want := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"all-apis"},
		"resource":              {"api://databricks/workspaces/42/zerobusDirectWriteApi"},
		"authorization_details": form["authorization_details"],
	}
	if fmt.Sprint(form) != fmt.Sprint(want) {
		t.Errorf("%v", form)
	}
	var details any
	if err := json.Unmarshal([]byte(form.Get("authorization_details")), &details); err != nil {
		t.Fatal(err)
	}
	const wantDetails = "[map[object_full_path:main object_type:CATALOG privileges:[USE CATALOG] type:unity_catalog_privileges] " +
		"map[object_full_path:main.air object_type:SCHEMA privileges:[USE SCHEMA] type:unity_catalog_privileges] " +
		"map[object_full_path:main.air.readings object_type:TABLE operations:[zerobuswrite] privileges:[SELECT MODIFY] type:unity_catalog_privileges]]"
	if got := fmt.Sprint(details); got != wantDetails {
		t.Errorf("%s", got)
	}
}

// Streams of a table share a token, also if they are opened at the same time.
func TestTokensAreSharedAndFetchedOnce(t *testing.T) {
	srv := serve(t)
	srv.InjectToken(zerobustest.TokenFault{Delay: 50 * time.Millisecond})
	sink := clientOf(config(srv)).Table(table)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sink.NewAppender(jsonFormat).Open(limited(t))
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	wg.Wait()
	if n := srv.Stats().TokenRequests; n != 1 {
		t.Errorf("%d token requests for 8 streams", n)
	}
}

// If the first caller stops waiting, the other callers still get the token.
func TestAFetchOutlivesWhoBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.InjectToken(zerobustest.TokenFault{Delay: 100 * time.Millisecond})
		sink := sinkOf(srv)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := sink.NewAppender(jsonFormat).Open(ctx)
			first <- err
		}()
		synctest.Wait()
		if n := srv.Stats().TokenRequests; n != 1 {
			t.Fatalf("%d token requests", n)
		}
		second := make(chan error)
		go func() {
			s, err := sink.NewAppender(jsonFormat).Open(limited(t))
			if err == nil {
				_ = s.Close()
			}
			second <- err
		}()
		synctest.Wait()
		cancel()
		wantIs(t, <-first, backend.ErrTransient)
		if err := <-second; err != nil {
			t.Error(err)
		}
		if n := srv.Stats().TokenRequests; n != 1 {
			t.Errorf("%d token requests", n)
		}
	})
}

// An opening replaces a refused token from the cache, once.
func TestRevokedTokensAreReplaced(t *testing.T) {
	srv := serve(t)
	sink := clientOf(config(srv)).Table(table)
	_ = open(t, sink).Close()
	srv.RevokeTokens()
	_ = open(t, sink).Close()
	if n := srv.Stats().TokenRequests; n != 2 {
		t.Errorf("%d token requests", n)
	}
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: -1, Do: zerobustest.Status(codes.PermissionDenied, "no grant")})
	_, err := sink.NewAppender(jsonFormat).Open(limited(t))
	wantIs(t, err, backend.ErrUnauthorized)
	if n := srv.Stats().TokenRequests; n != 3 {
		t.Errorf("%d token requests: one more try, not several", n)
	}
}

// A producer goes on after its token was refused in the middle of a stream.
func TestUnauthenticatedMidStreamGetsANewToken(t *testing.T) {
	srv := serve(t)
	p := produce(t, clientOf(config(srv)).Table(table))
	srv.RevokeTokens()
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(codes.Unauthenticated, "expired")})
	if err := p.Send(limited(t), row{0}); err != nil {
		t.Fatal(err)
	}
	if got := values(srv); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestTokenEndpointFailures(t *testing.T) {
	for name, test := range map[string]struct {
		fault zerobustest.TokenFault
		want  error
		after time.Duration
	}{
		"400":                     {zerobustest.TokenFault{Status: 400}, backend.ErrUnauthorized, 0},
		"401":                     {zerobustest.TokenFault{Status: 401}, backend.ErrUnauthorized, 0},
		"403":                     {zerobustest.TokenFault{Status: 403}, backend.ErrUnauthorized, 0},
		"429":                     {zerobustest.TokenFault{Status: 429, RetryAfter: "7"}, backend.ErrTransient, 7 * time.Second},
		"429 without a time":      {zerobustest.TokenFault{Status: 429}, backend.ErrTransient, 0},
		"500":                     {zerobustest.TokenFault{Status: 500}, backend.ErrTransient, 0},
		"503 with HTML":           {zerobustest.TokenFault{Status: 503, RetryAfter: "1", ContentType: "text/html", Body: "<html>busy"}, backend.ErrTransient, time.Second},
		"HTML":                    {zerobustest.TokenFault{ContentType: "text/html", Body: "<html>log in"}, backend.ErrUnauthorized, 0},
		"HTML said to be JSON":    {zerobustest.TokenFault{Body: "<html>log in"}, backend.ErrUnauthorized, 0},
		"HTML said to be a form":  {zerobustest.TokenFault{ContentType: "text/plain", Body: "access_token=<html>"}, backend.ErrUnauthorized, 0},
		"nothing":                 {zerobustest.TokenFault{Body: " "}, backend.ErrUnauthorized, 0},
		"JSON cut off":            {zerobustest.TokenFault{Body: `{"access_token":"tok","expi`}, backend.ErrUnauthorized, 0},
		"a token of another type": {zerobustest.TokenFault{Body: `{"access_token":{"a":1}}`}, backend.ErrUnauthorized, 0},
		"429 by date, past":       {zerobustest.TokenFault{Status: 429, RetryAfter: "Mon, 01 Jan 1990 00:00:00 GMT"}, backend.ErrTransient, 0},
		"429 for ever":            {zerobustest.TokenFault{Status: 429, RetryAfter: "4000000000"}, backend.ErrTransient, time.Hour},
		"429 with nonsense":       {zerobustest.TokenFault{Status: 429, RetryAfter: "soon"}, backend.ErrTransient, 0},
		"no access token":         {zerobustest.TokenFault{Body: `{"token_type":"Bearer"}`}, backend.ErrUnauthorized, 0},
		"a token of line ends":    {zerobustest.TokenFault{Body: `{"access_token":"a\nb","expires_in":9}`}, backend.ErrUnauthorized, 0},
		"a connection that ends":  {zerobustest.TokenFault{Drop: true}, backend.ErrTransient, 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t)
			test.fault.Times = -1
			srv.InjectToken(test.fault)
			_, err := clientOf(config(srv)).Table(table).NewAppender(jsonFormat).Open(limited(t))
			wantIs(t, err, test.want)
			if got := backend.RetryAfter(err); got != test.after {
				t.Errorf("retry after %v, want %v", got, test.after)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "html") {
				t.Errorf("%v tells too much", err)
			}
		})
	}
}

func TestAttemptTimeoutCoversTheToken(t *testing.T) {
	srv := serve(t)
	srv.InjectToken(zerobustest.TokenFault{Delay: time.Hour})
	ctx := limited(t)
	_, err := clientOf(config(srv), zerobus.Timeout(50*time.Millisecond)).Table(table).NewAppender(jsonFormat).Open(ctx)
	wantIs(t, err, backend.ErrTransient)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		t.Errorf("%v; and the caller's context: %v", err, ctx.Err())
	}
}

func TestTLS(t *testing.T) {
	srv := serve(t, zerobustest.TLS())
	s := open(t, clientOf(config(srv), zerobus.TLS(&tls.Config{RootCAs: srv.CertPool(), MinVersion: tls.VersionTLS12})).Table(table))
	if err := s.Send(limited(t), 0, records(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(limited(t)); err != nil {
		t.Fatal(err)
	}
	_, err := clientOf(config(srv)).Table(table).NewAppender(jsonFormat).Open(limited(t))
	if err == nil {
		t.Error("a certificate of nobody was trusted")
	}
}

type staticHeaders struct {
	zerobus.HeadersFunc
	invalidated int
}

func (h *staticHeaders) Invalidate(context.Context, string) { h.invalidated++ }

func TestHeadersProvider(t *testing.T) {
	srv := serve(t, zerobustest.Token("mine"))
	token := "Bearer mine"
	var failure error
	type key struct{}
	h := &staticHeaders{HeadersFunc: func(ctx context.Context, name string) (map[string]string, error) {
		if ctx.Value(key{}) != "here" || name != table {
			t.Errorf("called for %s without the context", name)
		}
		return map[string]string{"Authorization": token, "x-databricks-zerobus-table-name": name}, failure
	}}
	sink := clientOf(zerobus.Config{Endpoint: srv.Endpoint}, zerobus.Headers(h)).Table(table)
	try := func() error {
		s, err := sink.NewAppender(jsonFormat).Open(context.WithValue(limited(t), key{}, "here"))
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	token = "Bearer other"
	if err := try(); !errors.Is(err, backend.ErrUnauthorized) || h.invalidated != 2 {
		t.Errorf("%v, %d times invalidated, want both attempts", err, h.invalidated)
	}
	token = "Bearer a\nb"
	if err := try(); !errors.Is(err, backend.ErrUnauthorized) || strings.Contains(err.Error(), "a\n") {
		t.Errorf("%v", err)
	}
	failure = fmt.Errorf("%w: vault is sealed", backend.ErrTransient)
	wantIs(t, try(), backend.ErrTransient)
	failure = errors.New("no such key")
	wantIs(t, try())
}

// A HeadersFunc has nothing to invalidate, but is called once more.
func TestHeadersFunc(t *testing.T) {
	srv := serve(t, zerobustest.Token("second"))
	tokens := []string{"Bearer first", "Bearer second"}
	asked := 0
	s := open(t, clientOf(zerobus.Config{Endpoint: srv.Endpoint}, zerobus.Headers(zerobus.HeadersFunc(
		func(_ context.Context, name string) (map[string]string, error) {
			asked++
			return map[string]string{"authorization": tokens[asked-1], "x-databricks-zerobus-table-name": name}, nil
		}))).Table(table))
	if trip(t, limited(t), s, 0); asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func TestNothingPrintsTheSecret(t *testing.T) {
	c := zerobus.Config{Endpoint: "https://x.y", UnityCatalog: "https://z", ClientID: "id", ClientSecret: "hunter2"}
	client := clientOf(c)
	misplaced := zerobus.Config{Endpoint: "https://id:hunter2@x.y"}
	for _, v := range []any{c, &c, client, client.Table("a.b.c"), misplaced} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "hunter2") {
				t.Errorf("%s of a %T is %s", verb, v, s)
			}
		}
	}
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("made", "of", c, "and", misplaced)
	if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "zerobus:https://x.y") {
		t.Error(out.String())
	}
}
