package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// answering makes a stream whose server is f, without a network.
func answering(t *testing.T, f roundTrip, opts ...durablestreams.Option) *durablestreams.Stream {
	t.Helper()
	c, err := durablestreams.New("http://user:secret@server/secret", append(opts, durablestreams.HTTP(&http.Client{Transport: f}))...)
	if err != nil {
		t.Fatal(err)
	}
	return c.Stream("s")
}

// Each answer has an error of its own, found with errors.Is, and facts, found with errors.As. None of them tells a secret.
func TestErrorsByStatus(t *testing.T) {
	kinds := map[string]error{
		"transient": backend.ErrTransient, "indeterminate": backend.ErrIndeterminate, "rejected": backend.ErrRejected,
		"too large": backend.ErrTooLarge, "fenced": backend.ErrFenced, "conflict": backend.ErrConflict,
		"out of range": backend.ErrOutOfRange, "not found": backend.ErrNotFound, "unauthorized": backend.ErrUnauthorized,
		"unsupported": backend.ErrUnsupported, "closed": backend.ErrStreamClosed, "exists": durablestreams.ErrExists,
		"gone": durablestreams.ErrGone, "sequence": durablestreams.ErrSequence, "rate": durablestreams.ErrRateLimited,
	}
	ops := map[string]func(context.Context, *durablestreams.Stream) error{
		"create": func(ctx context.Context, s *durablestreams.Stream) error { _, err := s.Create(ctx, ""); return err },
		"append": func(ctx context.Context, s *durablestreams.Stream) error {
			_, err := s.Append(ctx, "text/plain", []byte("x"))
			return err
		},
		"seal": func(ctx context.Context, s *durablestreams.Stream) error {
			_, err := s.SealWith(ctx, "text/plain", []byte("x"))
			return err
		},
		"head": func(ctx context.Context, s *durablestreams.Stream) error { _, err := s.Head(ctx); return err },
		"delete": func(ctx context.Context, s *durablestreams.Stream) error {
			return s.Delete(ctx)
		},
		"read": func(ctx context.Context, s *durablestreams.Stream) error {
			_, err := s.OpenReader(ctx, "5/0")
			return err
		},
	}
	for _, test := range []struct {
		op      string
		status  int
		headers string
		want    string
		epoch   int64
		gap     [2]int64
	}{
		{op: "create", status: 409, want: "conflict, exists"},
		{op: "create", status: 400, want: "rejected"},
		{op: "append", status: 400, want: "rejected"},
		{op: "append", status: 404, want: "not found"},
		{op: "append", status: 410, want: "not found, gone"},
		{op: "append", status: 409, headers: "Stream-Closed: true", want: "closed"},
		{op: "append", status: 409, headers: "Stream-Closed: TRUE", want: "closed"},
		{op: "append", status: 409, headers: "Stream-Closed: yes", want: "conflict, sequence"},
		{op: "append", status: 409, headers: "Producer-Expected-Seq: 3, Producer-Received-Seq: 7", want: "conflict", gap: [2]int64{3, 7}},
		{op: "append", status: 403, headers: "Producer-Epoch: 12", want: "fenced", epoch: 12},
		{op: "seal", status: 403, headers: "Producer-Epoch: 12", want: "fenced", epoch: 12},
		{op: "append", status: 403, want: "unauthorized"},
		{op: "append", status: 413, want: "too large"},
		{op: "append", status: 429, want: "rate, transient"},
		{op: "append", status: 503, want: "indeterminate"},
		{op: "seal", status: 503, want: "indeterminate, transient"},
		{op: "append", status: 501, want: "unsupported"},
		{op: "delete", status: 405, want: "unsupported"},
		{op: "delete", status: 401, want: "unauthorized"},
		{op: "head", status: 500, want: "transient"},
		{op: "read", status: 500, want: "transient"},
		{op: "read", status: 429, want: "rate, transient"},
		{op: "read", status: 400, want: "out of range"},
		{op: "read", status: 404, want: "not found"},
		{op: "read", status: 410, want: "gone, out of range"},
		{op: "read", status: 418, want: ""},
	} {
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			resp := reply(r, "text/plain", "a sentence of the server", false)
			resp.StatusCode = test.status
			for h := range strings.SplitSeq(test.headers, ", ") {
				if name, value, ok := strings.Cut(h, ": "); ok {
					resp.Header.Set(name, value)
				}
			}
			return resp, nil
		}, durablestreams.Attempts(1))
		err := ops[test.op](t.Context(), s)
		for name, kind := range kinds {
			want := false
			for w := range strings.SplitSeq(test.want, ", ") {
				want = want || w == name
			}
			if errors.Is(err, kind) != want {
				t.Errorf("%s, %d %s: %v is %s: %v", test.op, test.status, test.headers, err, name, !want)
			}
		}
		var status *durablestreams.Error
		if !errors.As(err, &status) || status.Status != test.status || status.Op != test.op {
			t.Errorf("%s, %d: %v is no Error of it", test.op, test.status, err)
			continue
		}
		if test.epoch > 0 && status.Epoch != test.epoch || test.gap[0] > 0 && (status.Expected != test.gap[0] || status.Received != test.gap[1]) {
			t.Errorf("%s, %d: %+v", test.op, test.status, status)
		}
		if strings.Contains(err.Error(), "secret") || test.op != "head" && !strings.Contains(err.Error(), "a sentence of the server") {
			t.Errorf("%v has a secret, or not what the server says", err)
		}
	}
}

// Whoever tries again waits as long as the server asks: the operations, producers and consumers.
func TestRetryAfterIsHonoured(t *testing.T) {
	for name, value := range map[string]func() string{
		"seconds": func() string { return "90" },
		"a date":  func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused := map[string]time.Time{}
				s := answering(t, func(r *http.Request) (*http.Response, error) {
					resp := reply(r, "application/json", "[1]", false)
					resp.Header.Set("Stream-Closed", "true")
					resp.Header.Set("Producer-Seq", "0")
					if r.Method == http.MethodHead {
						return resp, nil
					}
					if at, ok := refused[r.Method]; !ok {
						refused[r.Method] = time.Now()
						resp.StatusCode = http.StatusTooManyRequests
						resp.Header.Set("Retry-After", value())
					} else if waited := time.Since(at); waited < 90*time.Second || waited > 100*time.Second {
						t.Errorf("%s: again after %v", r.Method, waited)
					}
					return resp, nil
				})
				if _, err := s.Create(t.Context(), "application/json"); err != nil {
					t.Error(err)
				}
				p, err := producer.New(t.Context(), s, codec.JSON[int]())
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Send(t.Context(), 1); err != nil {
					t.Error(err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				c, err := consumer.New(s, codec.JSON[int]())
				if err != nil {
					t.Fatal(err)
				}
				for m, err := range c.Messages(t.Context()) {
					if err != nil || m.Value != 1 {
						t.Errorf("%v, %v", m.Value, err)
					}
				}
				if len(refused) != 3 {
					t.Errorf("refused were %v", refused)
				}
			})
		})
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "1e9": 0, "99999999": time.Hour, "99999999999999999999": 0,
		"Sun, 06 Nov 1994 08:49:37 GMT": 0, "Sun, 06 Nov 2994 08:49:37 GMT": time.Hour, "soon": 0,
	} {
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			resp := reply(r, "text/plain", "", false)
			resp.StatusCode = http.StatusServiceUnavailable
			resp.Header.Set("Retry-After", value)
			return resp, nil
		}, durablestreams.Attempts(1))
		if _, err := s.Head(t.Context()); backend.RetryAfter(err) != want {
			t.Errorf("%q: %v, want %v", value, backend.RetryAfter(err), want)
		}
	}
}

// An operation that waits to try again ends with its context, and with the error that made it wait.
func TestTryingAgainEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			resp := reply(r, "text/plain", "", false)
			resp.StatusCode = http.StatusServiceUnavailable
			resp.Header.Set("Retry-After", "60")
			return resp, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		from := time.Now()
		_, err := s.Head(ctx)
		if took := time.Since(from); took != 5*time.Second || !errors.Is(err, backend.ErrTransient) || !strings.Contains(fmt.Sprint(err), "503") {
			t.Errorf("%v, after %v", err, took)
		}
	})
}

// A server that is broken for good is given up by whoever has a limit to trying again.
func TestBrokenServersAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			reads++
			resp := reply(r, "application/json", "", false)
			resp.StatusCode = http.StatusInternalServerError
			return resp, nil
		})
		c, err := consumer.New(s, codec.JSON[int](), consumer.Attempts(13))
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range c.Messages(t.Context()) {
		}
		if err == nil || errors.Is(err, backend.ErrTransient) || reads < 3 || reads > 1000 {
			t.Errorf("%v, after %d requests", err, reads)
		}
	})
}

func TestMissingStreamSaysWhatToDo(t *testing.T) {
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	_, head := s.Head(t.Context())
	_, open := s.NewAppender(backend.Format{ContentType: "application/json"}).Open(t.Context())
	for _, err := range []error{head, open} {
		if !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "Stream.Create makes a stream") {
			t.Errorf("%v", err)
		}
	}
}
