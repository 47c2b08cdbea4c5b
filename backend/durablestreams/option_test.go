package durablestreams_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestOptionsThatAreNotAllowedAreRefused(t *testing.T) {
	for says, opts := range map[string][]durablestreams.Option{
		"option is nil":      {nil},
		"Attempts(-1)":       {durablestreams.Attempts(-1)},
		"Timeout(-1s)":       {durablestreams.Timeout(-time.Second)},
		"UserAgent":          {durablestreams.UserAgent("a\nb")},
		"HTTP and TLS":       {durablestreams.HTTP(http.DefaultClient), durablestreams.TLS(&tls.Config{})},
		"name of a header":   {durablestreams.Header("a b", durablestreams.Static(""))},
		"the protocol's own": {durablestreams.Query("live", durablestreams.Static(""))},
	} {
		if _, err := durablestreams.New("http://server", opts...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
	for _, port := range []string{"0", "65536", "99999999999999999999"} {
		if _, err := durablestreams.New("http://server:" + port); err == nil || !strings.Contains(err.Error(), "port") {
			t.Errorf("port %s: %v", port, err)
		}
	}
}

func TestZeroMeansTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			requests++
			return status(r, http.StatusServiceUnavailable), nil
		}, durablestreams.Attempts(0), durablestreams.Timeout(0), durablestreams.TLS(nil))
		for name, o := range map[string]durablestreams.StreamOption{
			"InFlight": durablestreams.InFlight(0), "BatchBytes": durablestreams.BatchBytes(0), "MessageBytes": durablestreams.MessageBytes(0),
		} {
			requests = 0
			if _, err := s.With(o).Head(t.Context()); !errors.Is(err, backend.ErrTransient) || requests != 5 {
				t.Errorf("%s(0): %d requests, %v; want 5", name, requests, err)
			}
		}
		limits := s.With(durablestreams.InFlight(0), durablestreams.BatchBytes(0)).NewAppender(jsonFormat).Limits()
		if limits.InFlight != 5 || limits.BatchBytes != 4<<20 {
			t.Errorf("%+v, want 5 batches of 4 MiB", limits)
		}
	})
}

func TestNilOptionsOfACallAreRefused(t *testing.T) {
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", r.Method)
		return status(r, http.StatusOK), nil
	})
	_, created := s.Create(t.Context(), "", nil)
	_, appended := s.Append(t.Context(), "text/plain", []byte("x"), nil)
	_, sealed := s.SealWith(t.Context(), "text/plain", []byte("x"), nil)
	_, named := s.With(nil).Head(t.Context())
	for op, err := range map[string]error{"create": created, "append": appended, "seal": sealed, "head": named} {
		if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "option is nil") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// An attempt that is not answered ends by its timeout, and the operation goes on to the next attempt.
func TestTimeoutBoundsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			if requests++; requests == 2 {
				return status(r, http.StatusOK), nil
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, durablestreams.Timeout(3*time.Second))
		begun := time.Now()
		_, err := s.Head(t.Context())
		if took := time.Since(begun); err != nil || took < 3*time.Second || took > 4*time.Second || requests != 2 {
			t.Errorf("%d requests in %v: %v", requests, took, err)
		}
		requests = 2
		session := open(t, answering(t, func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodHead {
				return reply(r, "application/json", "", false), nil
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, durablestreams.Timeout(3*time.Second)).NewAppender(jsonFormat))
		begun = time.Now()
		send(t, session, 0)
		_, err = session.Recv(t.Context())
		if took := time.Since(begun); took != 3*time.Second || !errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), "no answer within 3s") {
			t.Errorf("an append ended after %v: %v", took, err)
		}
	})
}

func TestUserAgentNamesTheCaller(t *testing.T) {
	for want, opts := range map[string][]durablestreams.Option{
		"headrace":        nil,
		"headrace orders": {durablestreams.UserAgent("orders")},
		"mine":            {durablestreams.UserAgent("orders"), durablestreams.Header("User-Agent", durablestreams.Static("mine"))},
	} {
		got := ""
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			got = r.UserAgent()
			return status(r, http.StatusOK), nil
		}, opts...)
		if _, err := s.Head(t.Context()); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func TestTLSOptionTrustsItsAuthorities(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer srv.Close()
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig
	c, err := durablestreams.New(srv.URL, durablestreams.TLS(config))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Stream("s").Head(t.Context()); err != nil {
		t.Error(err)
	}
}

// No way of printing a client or a stream shows what may be secret.
func TestPrintedClientsAndStreamsHoldNoSecrets(t *testing.T) {
	c, err := durablestreams.New("https://user:secret-1@server/secret-2", durablestreams.Header("A", durablestreams.Static("secret-3")))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Stream("orders", durablestreams.RequestHeader("A", "secret-4"))
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Any("client", c), slog.Any("stream", s))
	for _, text := range []string{
		fmt.Sprint(c, s), fmt.Sprintf("%v %v", c, s), fmt.Sprintf("%+v %+v", c, s), fmt.Sprintf("%#v %#v", c, s), log.String(),
	} {
		if strings.Contains(text, "secret") || !strings.Contains(text, "durablestreams:https://server/orders") {
			t.Errorf("printed as %s", text)
		}
	}
}

// An error has what the server says, in one line and without the credentials that the server repeats.
func TestErrorHasTheMessageOfTheServer(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body, want string }{
		"text":        {"text/plain", "no such\nstream\n", "no such stream"},
		"json":        {"application/json", `{"code":"A","message":"m"}`, `{"code":"A","message":"m"}`},
		"page":        {"text/html; charset=utf-8", "<html>big</html>", ""},
		"empty":       {"text/plain", "", ""},
		"credentials": {"text/plain", "not you: Bearer token-0123456789", "not you: [hidden]"},
		"path":        {"text/plain", "no stream /v1/token-path/s", "no stream /[hidden]/s"},
		"long":        {"text/plain", strings.Repeat("x ", 4000), strings.Repeat("x ", 512) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := durablestreams.New("http://server/v1/token-path", durablestreams.HTTP(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := reply(r, c.contentType, c.body, false)
				resp.StatusCode = http.StatusNotFound
				return resp, nil
			})}), durablestreams.Header("Authorization", durablestreams.Static("Bearer token-0123456789")))
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Stream("s").OpenReader(t.Context(), backend.Earliest)
			var refusal *durablestreams.Error
			if !errors.As(err, &refusal) || refusal.Message != c.want || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestWrongContentTypeIsRejectedAtTheOpening(t *testing.T) {
	s := typed(t, "text/plain", nil)
	_, err := s.NewAppender(jsonFormat).Open(t.Context())
	if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrConflict) || !strings.Contains(err.Error(), "text/plain") {
		t.Errorf("%v, want ErrRejected that names the content type", err)
	}
}
