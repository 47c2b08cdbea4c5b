package s2_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// A stream that comes to be by an append is configured as the stream says, however the append is made.
func TestAStreamIsCreatedAsTold(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	c := dial(t, srv)
	b := c.Basin(basinName)
	as := s2.CreateAs(s2.StreamConfig{Retention: &s2.Retention{Age: time.Hour}, Timestamping: &s2.Timestamping{Mode: s2.Arrival}})
	unary, session := b.Stream(streamName(), as), b.Stream(streamName(), as)
	put(t, unary, "a")
	s, err := session.NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	check(t, s.Close())
	for _, st := range []*s2.Stream{unary, session} {
		cfg, err := manage(c).StreamConfig(t.Context(), st.Name())
		if err != nil || cfg.Retention.Age != time.Hour || cfg.Timestamping.Mode != s2.Arrival {
			t.Errorf("%+v, %v", cfg, err)
		}
	}
}

// A read without commands says where to go on behind those that it leaves out.
func TestAReadWithoutCommandsGoesOnBehindThem(t *testing.T) {
	_, st := fresh(t, nil)
	put(t, st, "a")
	_, err := st.SetFence(t.Context(), "", s2.Condition{})
	check(t, err)
	got, err := st.Read(t.Context(), s2.Range{From: backend.Earliest, NoCommands: true})
	if err != nil || !slices.Equal(texts(got.Records), []string{"a"}) || got.Next != "2" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = st.Read(t.Context(), s2.Range{From: "1", NoCommands: true})
	if err != nil || len(got.Records) != 0 || got.Next != "2" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAReadSessionWithoutALastAttempt(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, []s2.Option{s2.Attempts(s2.Forever)})
	vs := timed(t, st, 10)
	in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Times: 5, Do: s2test.RetryAfter(503, "unavailable", time.Millisecond)})
	got, err := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest, Wait: s2.NoWait}))
	if err != nil || !slices.Equal(got, vs) || in.Hits() != 5 {
		t.Errorf("%d records, %v, after %d refusals", len(got), err, in.Hits())
	}
}

func TestMeteredCountsAsS2Does(t *testing.T) {
	r := backend.Record{Value: []byte("hello"), Headers: backend.Headers{{Name: "k", Value: []byte("vv")}}}
	if n := s2.Metered(&r); n != 8+2+1+2+5 {
		t.Errorf("%d", n)
	}
}

func TestAServerThatIsAboutToStopCostsACallNoAttempt(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	b := manage(dial(t, srv, s2.Attempts(1)))
	put(t, st, "a") // the stream comes to be
	in := srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: 5, Do: s2test.RetryAfter(503, "server_draining", time.Millisecond)})
	if _, err := b.StreamConfig(t.Context(), st.Name()); err != nil || in.Hits() != 5 {
		t.Errorf("%v after %d refusals", err, in.Hits())
	}
	in = srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: 5, Do: s2test.RetryAfter(503, "unavailable", time.Millisecond)})
	if _, err := b.StreamConfig(t.Context(), st.Name()); err == nil || in.Hits() != 1 {
		t.Errorf("%v after %d failures of one attempt", err, in.Hits())
	}
}

// stopping is a logger that ends the work at its first line.
type stopping struct {
	slog.Handler
	stop context.CancelFunc
}

func (s stopping) Handle(ctx context.Context, r slog.Record) error {
	defer s.stop()
	return s.Handler.Handle(ctx, r)
}

func TestACallIsRepeatedAfterThePauseToldAndLogsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var text bytes.Buffer
	logger := slog.New(stopping{slog.NewTextHandler(&text, nil), cancel})
	srv, st := fresh(t, nil)
	b := manage(dial(t, srv, s2.Backoff(100*time.Hour, 100*time.Hour), s2.Logger(logger)))
	srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: s2test.Always, Do: s2test.Status(500, "other")})
	_, err := b.StreamConfig(ctx, st.Name())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the end of the context during the pause", err)
	}
	line := text.String()
	_, pause, _ := strings.Cut(line, "pause=")
	pause, _, _ = strings.Cut(pause, " ")
	if d, err := time.ParseDuration(pause); err != nil || d < 50*time.Hour || d > 100*time.Hour {
		t.Errorf("a pause of %q, want 50 to 100 hours", pause)
	}
	if !strings.Contains(line, "status 500 other") || !strings.Contains(line, st.Name()) || strings.Contains(line, srv.Token()) {
		t.Errorf("logged %q", line)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEveryRequestGoesThroughTheRoundTripperGiven(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{} // the form of a request to the version of HTTP of its answer
	_, st := fresh(t, []s2.Option{s2.RoundTripper(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(r)
			if err == nil {
				mu.Lock()
				seen[r.Method+" "+r.Header.Get("Content-Type")] = res.ProtoMajor
				mu.Unlock()
			}
			return res, err
		})
	})})
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	check(t, s.Send(t.Context(), 0, values("a")))
	_, err = s.Recv(t.Context())
	check(t, err)
	check(t, s.Close())
	if b := next(t, open(t, st, backend.Earliest)); !slices.Equal(texts(b.Records), []string{"a"}) {
		t.Errorf("read %q", texts(b.Records))
	}
	_, err = st.CheckTail(t.Context())
	check(t, err)
	mu.Lock()
	defer mu.Unlock()
	if seen["POST s2s/proto"] != 2 || seen["GET s2s/proto"] != 2 || seen["GET "] == 0 {
		t.Errorf("seen: %v", seen)
	}
}

// What the caller's step answers on its own may have been sent or not. What the client's connections say is certain.
func TestARoundTripperThatFailsLeavesTheOutcomeOpen(t *testing.T) {
	down := errors.New("the caller's step failed")
	for name, c := range map[string]struct {
		send func(next http.RoundTripper, r *http.Request) (*http.Response, error)
		want error
		not  error
	}{
		"own failure":   {func(http.RoundTripper, *http.Request) (*http.Response, error) { return nil, down }, backend.ErrIndeterminate, backend.ErrTransient},
		"no connection": {http.RoundTripper.RoundTrip, backend.ErrTransient, backend.ErrIndeterminate},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := s2.New(s2.Config{Token: "token-of-nobody", BasinEndpoint: nobody}, s2.RoundTripper(func(next http.RoundTripper) http.RoundTripper {
				return tripper(func(r *http.Request) (*http.Response, error) { return c.send(next, r) })
			}))
			check(t, err)
			defer client.Close()
			_, err = client.Basin(basinName).Stream("orders").Append(t.Context(), values("a"), s2.Condition{})
			if !errors.Is(err, c.want) || errors.Is(err, c.not) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for name, o := range map[string]s2.Option{
		"a pause below 0":     s2.Backoff(-1, time.Second),
		"a first above most":  s2.Backoff(time.Second, time.Millisecond),
		"negative attempts":   s2.Attempts(-1),
		"a negative timeout":  s2.Timeout(-1),
		"no time to connect":  s2.ConnectTimeout(-1),
		"a name with a tab":   s2.UserAgent("a\tb"),
		"nil":                 nil,
		"no logger":           s2.Logger(nil),
		"no round tripper":    s2.RoundTripper(nil),
		"a nil round tripper": s2.RoundTripper(func(http.RoundTripper) http.RoundTripper { return nil }),
	} {
		if _, err := s2.New(s2.Config{Token: "token"}, o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
