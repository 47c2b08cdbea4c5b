package durablestreams_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// tlsAlert answers a plain request as many TLS servers do, with an alert.
func tlsAlert(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte("\x15\x03\x01\x00\x02\x02\x16"))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// A wrong setting is told at once, with what to do about it: no further attempt mends it.
func TestWrongSettingsAreFinalAtOnce(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	plain := httptest.NewServer(ok)
	defer plain.Close()
	unknown := httptest.NewUnstartedServer(ok)
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	defer unknown.Close()
	for url, hint := range map[string]string{
		unknown.URL: "trusts the authority",
		"https" + strings.TrimPrefix(plain.URL, "http"): "write its base URL with http",
		tlsAlert(t): "write its base URL with https",
	} {
		c, err := durablestreams.New(url)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := c.Stream("s")
		_, head := s.Head(t.Context())
		_, appended := s.Append(t.Context(), "text/plain", []byte("x"))
		_, read := s.OpenReader(t.Context(), backend.Earliest)
		_, produce := producer.New(t.Context(), s, codec.JSON[int]())
		for name, err := range map[string]error{"head": head, "append": appended, "read": read, "produce": produce} {
			if err == nil || errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), hint) {
				t.Errorf("%s at %s: %v, want a final error with %q", name, url, err, hint)
			}
		}
	}
}

// An append without an identity that may be stored is no transient failure, as a second one could be stored beside it. It is
// tried again where the first try cannot be stored.
func TestAppendWithoutIdentityIsTriedAgainOnlyWhenNotStored(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, test := range map[string]struct {
		first   func(*http.Request) (*http.Response, error)
		with    []durablestreams.AppendOption
		tries   int
		unknown bool
	}{
		"500":  {first: func(r *http.Request) (*http.Response, error) { return status(r, 500), nil }, tries: 1, unknown: true},
		"503":  {first: func(r *http.Request) (*http.Response, error) { return status(r, 503), nil }, tries: 1, unknown: true},
		"429":  {first: func(r *http.Request) (*http.Response, error) { return status(r, 429), nil }, tries: 2},
		"cut":  {first: func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, tries: 1, unknown: true},
		"dial": {first: func(*http.Request) (*http.Response, error) { return nil, refused }, tries: 2},
		"500, identity": {
			first: func(r *http.Request) (*http.Response, error) { return status(r, 500), nil }, tries: 2,
			with: []durablestreams.AppendOption{durablestreams.Identity("a", 0, 0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				s := answering(t, func(r *http.Request) (*http.Response, error) {
					if tries++; tries == 1 {
						return test.first(r)
					}
					return status(r, http.StatusNoContent), nil
				})
				_, err := s.Append(t.Context(), "text/plain", []byte("x"), test.with...)
				if tries != test.tries || (err != nil) != test.unknown || errors.Is(err, backend.ErrIndeterminate) != test.unknown || errors.Is(err, backend.ErrTransient) {
					t.Errorf("%d tries: %v", tries, err)
				}
				if test.unknown && !strings.Contains(err.Error(), "Identity") {
					t.Errorf("%v does not say what to do", err)
				}
			})
		})
	}
}

// What an earlier try may have stored is not forgotten when a later one was certainly not sent.
func TestLaterTryDoesNotHideAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		})
		_, err := s.Append(t.Context(), "text/plain", []byte("x"), durablestreams.Identity("a", 0, 0))
		if !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, backend.ErrTransient) || tries != 5 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
}
