package s2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// What follows from an answer to an append is what S2 says of its codes. Under another status a code is not believed,
// and an unknown one goes by its status.
func TestCodesMeanWhatS2SaysOfThem(t *testing.T) {
	srv, st := fresh(t, nil)
	transient, unknown := backend.ErrTransient, backend.ErrIndeterminate
	for _, c := range []struct {
		status int
		code   string
		want   error // nil: none of the two
	}{
		{400, "bad_frame", nil}, {400, "bad_header", nil}, {400, "bad_json", nil}, {400, "bad_path", nil}, {400, "bad_proto", nil},
		{400, "bad_query", nil}, {400, "decryption_failed", backend.ErrUnauthorized},
		{401, "authn", backend.ErrUnauthorized}, {403, "permission_denied", backend.ErrUnauthorized}, {403, "quota_exhausted", backend.ErrUnauthorized},
		{404, "access_token_not_found", backend.ErrNotFound}, {404, "basin_not_found", backend.ErrNotFound}, {404, "stream_not_found", backend.ErrNotFound},
		{408, "request_timeout", unknown}, {409, "transaction_conflict", transient}, {409, "resource_already_exists", backend.ErrConflict},
		{409, "basin_deletion_pending", backend.ErrNotFound}, {409, "stream_deletion_pending", backend.ErrNotFound},
		{422, "invalid", backend.ErrRejected}, {429, "rate_limited", transient}, {499, "client_hangup", unknown},
		{500, "other", unknown}, {500, "storage", unknown}, {501, "not_implemented", backend.ErrUnsupported}, {502, "hot_server", transient},
		{503, "server_draining", transient}, {503, "unavailable", unknown}, {504, "upstream_timeout", unknown},
		{500, "rate_limited", unknown}, {503, "hot_server", unknown}, {500, "stream_not_found", unknown}, // not theirs
		{429, "slow_down", transient}, {503, "later", unknown}, {408, "late", unknown}, {418, "teapot", nil}, {404, "gone", backend.ErrNotFound},
	} {
		srv.Inject(s2test.Fault{Op: s2test.UnaryAppend, Do: s2test.Status(c.status, c.code)})
		_, err := st.Append(t.Context(), values("0"), s2.Condition{})
		for _, kind := range []error{
			transient, unknown, backend.ErrUnauthorized, backend.ErrNotFound, backend.ErrConflict, backend.ErrRejected, backend.ErrUnsupported,
		} {
			if errors.Is(err, kind) != (kind == c.want) {
				t.Errorf("%d %s: %v, want %v of the kinds and no other", c.status, c.code, err, c.want)
			}
		}
		var refused *s2.Error
		if !errors.As(err, &refused) || refused.Status != c.status || refused.Code != c.code {
			t.Errorf("%d %s: %v has lost them", c.status, c.code, err)
		}
	}
	if n := len(stored(t, st)); n != 0 {
		t.Errorf("%d records are stored", n)
	}
}

// What never left this machine stored nothing, and is safe to send again even for one who may store nothing twice.
func TestARefusedConnectionStoredNothing(t *testing.T) {
	c, err := s2.New(s2.Config{Token: "token", AccountEndpoint: nobody, BasinEndpoint: nobody})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st := c.Basin(basinName).Stream("orders")
	_, appended := st.Append(t.Context(), values("0"), s2.Condition{})
	_, opened := st.NewAppender(backend.Format{}).Open(t.Context())
	_, read := st.OpenReader(t.Context(), backend.Earliest)
	for what, err := range map[string]error{"append": appended, "open": opened, "read": read} {
		if !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%s: %v, want ErrTransient alone", what, err)
		}
	}
}

// A pause that the server asks for reaches those who try again, ends with the context, and is taken once per attempt.
func TestAPauseThatIsAskedForEndsWithTheContext(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	hour := s2test.RetryAfter(503, "unavailable", time.Hour)
	srv.Inject(s2test.Fault{Op: s2test.UnaryAppend, Do: hour})
	if _, err := st.Append(t.Context(), values("0"), s2.Condition{}); backend.RetryAfter(err) != time.Hour {
		t.Errorf("%v asks for %v, want an hour", err, backend.RetryAfter(err))
	}
	for what, call := range map[string]func(context.Context) error{
		"a management call": func(ctx context.Context) error {
			_, err := manage(dial(t, srv)).StreamConfig(ctx, "orders")
			return err
		},
		"a read session": func(ctx context.Context) error {
			_, err := drain(ctx, st.ReadSession(s2.Range{From: backend.Earliest, Count: 1, Wait: time.Hour}))
			return err
		},
	} {
		in := srv.Inject(s2test.Fault{Op: s2test.StreamCall | s2test.ReadSession, Times: s2test.Always, Do: hour})
		var refused *s2.Error
		var err error
		attempts := 0
		// Where not even the answer comes in time, there is no pause to end: it gets more.
		for patience := 300 * time.Millisecond; refused == nil && patience < time.Minute; patience *= 2 {
			before := in.Hits()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err = call(ctx)
			cancel()
			attempts = in.Hits() - before
			_ = errors.As(err, &refused)
		}
		in.Remove()
		if !errors.Is(err, context.DeadlineExceeded) || refused == nil || attempts != 1 {
			t.Errorf("%s: %v after %d attempts, want the deadline, what went before it, and one attempt", what, err, attempts)
		}
	}
	in := srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: s2test.Always, Do: s2test.Status(500, "storage")})
	if _, err := manage(dial(t, srv, s2.Attempts(3))).StreamConfig(t.Context(), "orders"); err == nil || in.Hits() != 3 {
		t.Errorf("%v after %d attempts, want 3", err, in.Hits())
	}
}

// What a server sends that has no end is not taken whole.
func TestAnswersAreBounded(t *testing.T) {
	for status, want := range map[int]string{500: "status 500", 200: "more than"} {
		st := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			chunk := []byte(strings.Repeat("x", 1<<20))
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
		_, tail := st.CheckTail(t.Context())
		_, read := st.Read(t.Context(), s2.Range{From: backend.Earliest})
		for what, err := range map[string]error{"check tail": tail, "read": read} {
			if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 4096 {
				t.Errorf("%s, status %d: %.200v", what, status, err)
			}
		}
	}
}

// A server that stops reading makes Send wait while the session holds a few megabytes, not all that it is given.
func TestASessionHoldsLittleOfWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil, s2.InFlight(1000))
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Stall()})
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	batch := []backend.Record{{Value: make([]byte, 1_000_000)}}
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = s.Send(ctx, uint64(n), batch)
	}
	// The session's 4 MiB, the server's window of 8 MiB, and what the system buffers.
	if !errors.Is(err, context.DeadlineExceeded) || n > 50 {
		t.Errorf("%d MB were taken, then %v", n, err)
	}
}

// Names are measured in bytes, and a bad one does not become another request.
func TestMalformedNamesAreNotSent(t *testing.T) {
	srv, _ := fresh(t, nil)
	c := dial(t, srv)
	before := srv.Stats().Requests
	for _, basin := range []string{"", "short", "UPPERCASE", "-leading-dash", "under_score", strings.Repeat("x", 49), "a/../../b-basin"} {
		if _, err := c.Basin(basin).Stream("orders").CheckTail(t.Context()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("basin %q: %v, want ErrRejected", basin, err)
		}
	}
	for _, stream := range []string{"", ".", "..", strings.Repeat("é", 257)} {
		st := c.Basin(basinName).Stream(stream)
		_, open := st.OpenReader(t.Context(), backend.Earliest)
		_, session := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest}))
		_, app := st.NewAppender(backend.Format{}).Open(t.Context())
		for _, err := range []error{open, session, app} {
			if !errors.Is(err, backend.ErrRejected) {
				t.Errorf("stream %.20q: %v, want ErrRejected", stream, err)
			}
		}
	}
	st := c.Basin(basinName).Stream("orders")
	if _, err := st.SetFence(t.Context(), strings.Repeat("é", 19), s2.Condition{}); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("a token of 38 bytes: %v, want ErrRejected", err)
	}
	if n := srv.Stats().Requests - before; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	long := c.Basin(basinName).Stream("a b/ü?#%2F" + strings.Repeat("é", 250))
	if _, err := long.Append(t.Context(), values("0"), s2.Condition{}); err != nil {
		t.Errorf("a name that needs escaping: %v", err)
	}
	if got := stored(t, long); len(got) != 1 {
		t.Errorf("%d records under it", len(got))
	}
}

// An encrypted stream gives and takes records by its key and no other, whatever the form of the request.
func TestAnEncryptedStreamNeedsItsKey(t *testing.T) {
	srv := s2test.New(t)
	c := dial(t, srv)
	if _, err := admin.New(c).CreateBasin(t.Context(), "secret-basin", admin.NewBasin{Config: &admin.BasinConfig{StreamCipher: "aegis-256", CreateStreamOnAppend: true}}); err != nil {
		t.Fatal(err)
	}
	key := func(b byte) s2.StreamOption { return s2.EncryptionKey([]byte(strings.Repeat(string(b), 32))) }
	right := c.Basin("secret-basin").Stream("orders", key('k'))
	fillStream(t, right, 10)
	for form, opt := range map[string]s2.StreamOption{"frames": s2.InFlight(1), "events": s2.SSE()} {
		st := c.Basin("secret-basin").Stream("orders", key('k'), opt)
		if got, err := drain(t.Context(), st.ReadSession(s2.Range{From: s2.At(0), Count: 10})); len(got) != 10 || err != nil {
			t.Errorf("%s: %d records, %v", form, len(got), err)
		}
		put(t, st, "more")
		for _, wrong := range []*s2.Stream{c.Basin("secret-basin").Stream("orders", key('x'), opt), c.Basin("secret-basin").Stream("orders", opt)} {
			_, open := wrong.OpenReader(t.Context(), backend.Earliest)
			_, session := wrong.NewAppender(backend.Format{}).Open(t.Context())
			_, read := wrong.Read(t.Context(), s2.Range{From: s2.At(0)})
			_, app := wrong.Append(t.Context(), values("no"), s2.Condition{})
			for i, err := range []error{open, session, read, app} {
				var refused *s2.Error
				if !errors.As(err, &refused) || refused.Status != 400 || errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
					t.Errorf("%s, call %d: %v, want a final refusal", form, i, err)
				}
			}
		}
	}
	if got := stored(t, right); len(got) != 12 {
		t.Errorf("%d records are stored", len(got))
	}
}

func TestTheEnvironmentNamesTokenAndEndpoints(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	answer := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+" "+r.Header.Get("S2-Basin")+" "+r.Header.Get("Accept-Encoding"))
		_, _ = io.WriteString(w, `{"tail":{"seq_num":1,"timestamp":1},"basins":[],"has_more":false}`)
	}
	srv := listen(t, answer)
	t.Setenv("S2_ACCESS_TOKEN", "")
	if c, err := s2.Environment(); err == nil {
		t.Errorf("%v without a token", c)
	}
	t.Setenv("S2_ACCESS_TOKEN", "secret-token")
	t.Setenv("S2_ACCOUNT_ENDPOINT", srv)
	t.Setenv("S2_BASIN_ENDPOINT", srv+"/of/{basin}")
	cfg, err := s2.Environment()
	check(t, err)
	other := cfg
	other.BasinEndpoint = srv + "/"
	for _, cfg := range []s2.Config{cfg, other} {
		c, err := s2.New(cfg, patient(s2.Zstd())...)
		check(t, err)
		if _, err := c.Basin(basinName).Stream("a/b").CheckTail(t.Context()); err != nil {
			t.Error(err)
		}
		for range admin.New(c).Basins(t.Context(), admin.List{}) {
		}
		_ = c.Close()
	}
	want := "[/of/test-basin/streams/a/b/records/tail  zstd /v1/basins  zstd /streams/a/b/records/tail test-basin zstd /v1/basins  zstd]"
	if fmt.Sprint(asked) != want {
		t.Errorf("asked %q\nwant  %q", fmt.Sprint(asked), want)
	}
	t.Setenv("S2_BASIN_ENDPOINT", "")
	if cfg, err = s2.Environment(); err != nil || cfg.BasinEndpoint != "" {
		t.Errorf("an empty variable: %v, %v", cfg.BasinEndpoint, err)
	}
}

func TestARangeWithoutFromSaysWhatToGive(t *testing.T) {
	c, err := s2.New(s2.Config{Token: "any", AccountEndpoint: nobody, BasinEndpoint: nobody})
	check(t, err)
	for _, err := range c.Basin(basinName).Stream("orders").ReadSession(s2.Range{Count: 1}).Records(t.Context()) {
		if !errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), "give a place or backend.Earliest") {
			t.Errorf("got %v", err)
		}
	}
}
