package s2_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
)

// fakeClient is a client of a server that answers as h does.
func fakeClient(t testing.TB, token string, h http.HandlerFunc, opts ...s2.Option) *s2.Client {
	t.Helper()
	at := listen(t, h)
	c, err := s2.New(token, append(opts, s2.AccountEndpoint(at), s2.BasinEndpoint(at))...)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hangUp breaks the connection before there is an answer.
func hangUp() { panic(http.ErrAbortHandler) }

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"code":%q,"message":"no"}`, code)
}

// A deletion whose reply was lost is done. That nothing is there any more when it is tried again is no failure, but what
// was never there is.
func TestADeletionWhoseReplyWasLostIsDone(t *testing.T) {
	var asked atomic.Int64
	var lost atomic.Bool
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 && lost.Load() {
			hangUp()
		}
		refuse(w, 404, "access_token_not_found")
	})
	for what, call := range map[string]func() error{
		"token":  func() error { return c.RevokeAccessToken(t.Context(), "t") },
		"basin":  func() error { return c.DeleteBasin(t.Context(), basinName) },
		"stream": func() error { return c.Basin(basinName).DeleteStream(t.Context(), "s") },
	} {
		asked.Store(0)
		lost.Store(true)
		if err := call(); err != nil || asked.Load() != 2 {
			t.Errorf("%s: %v after %d attempts, want success at the second", what, err, asked.Load())
		}
		lost.Store(false)
		want(t, call(), backend.ErrNotFound)
	}
}

// What may have been created is not said to be certainly not: another call would find the name taken.
func TestACreationOfUnknownOutcomeIsIndeterminate(t *testing.T) {
	for what, h := range map[string]http.HandlerFunc{
		"no reply": func(http.ResponseWriter, *http.Request) { hangUp() },
		"storage":  func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "storage") },
	} {
		c := fakeClient(t, "any-token", h, s2.Attempts(2))
		_, stream := c.Basin(basinName).CreateStream(t.Context(), "s", s2.StreamConfig{})
		_, basin := c.CreateBasin(t.Context(), basinName, s2.NewBasin{})
		for _, err := range []error{stream, basin} {
			if want(t, err, backend.ErrIndeterminate); errors.Is(err, backend.ErrTransient) {
				t.Errorf("%s: %v, which is called safe to do again", what, err)
			}
		}
		_, config := c.Basin(basinName).ReconfigureStream(t.Context(), "s", s2.StreamChange{})
		want(t, config, backend.ErrTransient)
	}
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 429, "rate_limited") }, s2.Attempts(1))
	_, err := c.CreateBasin(t.Context(), basinName, s2.NewBasin{})
	want(t, err, backend.ErrTransient)
}

// An answer without the header that says what was done says it by its status.
func TestAProvisionIsToldByItsStatus(t *testing.T) {
	for status, want := range map[int]s2.Provision{http.StatusCreated: s2.Created, http.StatusOK: ""} {
		c := fakeClient(t, "any-token", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"name":"x"}`)
		})
		if _, p, err := c.EnsureBasin(t.Context(), basinName, s2.NewBasin{}); p != want || err != nil {
			t.Errorf("status %d: basin %q, %v, want %q", status, p, err, want)
		}
		if _, p, err := c.Basin(basinName).EnsureStream(t.Context(), "s", s2.StreamConfig{}); p != want || err != nil {
			t.Errorf("status %d: stream %q, %v, want %q", status, p, err, want)
		}
	}
}

// The server waits for whole seconds, so that is what comes on top of the timeout.
func TestAReadThatWaitsLessThanASecondIsAnswered(t *testing.T) {
	_, st := fresh(t, []s2.Option{s2.RequestTimeout(300 * time.Millisecond)})
	put(t, st, "0")
	got, err := st.Read(t.Context(), s2.Range{From: backend.Latest, Wait: time.Millisecond})
	if len(got.Records) != 0 || err != nil {
		t.Errorf("%+v, %v, want nothing", got, err)
	}
}

// Times and waits at the end of their range are that, and do not come out at the other.
func TestHugeTimesDoNotOverflow(t *testing.T) {
	asked := make(chan url.Values, 2)
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, r *http.Request) { asked <- r.URL.Query() })
	st := c.Basin(basinName).Stream("s")
	_, err := st.Read(t.Context(), s2.Range{From: backend.Earliest, Until: time.Unix(1<<62, 0), Wait: math.MaxInt64})
	check(t, err)
	if query := <-asked; query.Get("wait") != "4294967295" || query.Get("until") != "9223372036854775807" {
		t.Errorf("asked for %v", query)
	}
	late := values("late")
	late[0].Time = time.Unix(1<<62, 0)
	_, err = st.Append(t.Context(), late, s2.Condition{})
	want(t, err, backend.ErrRejected)
}

// JSON would make another name or token of what is no UTF-8, and act on that.
func TestTextThatIsNoUTF8IsRefused(t *testing.T) {
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		refuse(w, 400, "bad_json")
	})
	b := c.Basin(basinName)
	_, create := b.CreateStream(t.Context(), "a\xff", s2.StreamConfig{})
	_, _, ensure := b.EnsureStream(t.Context(), "a\xff", s2.StreamConfig{})
	_, issue := c.IssueAccessToken(t.Context(), s2.AccessToken{ID: "a\xff"})
	_, fence := b.Stream("s").SetFence(t.Context(), "a\xff", s2.Condition{})
	token := "a\xff"
	_, app := b.Stream("s", s2.JSON()).Append(t.Context(), values("0"), s2.Condition{FencingToken: &token})
	_, opened := b.Stream("s", s2.FencingToken(token)).NewAppender(backend.Format{}).Open(t.Context())
	for _, err := range []error{create, ensure, issue, fence, app, opened} {
		want(t, err, backend.ErrRejected)
	}
}

// The longest retention that the protocol can say is cut, as the one is that a Duration cannot hold.
func TestTheLongestRetentionIsCut(t *testing.T) {
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"retention_policy":{"age":18446744073709551615}}`)
	})
	cfg, err := c.Basin(basinName).StreamConfig(t.Context(), "s")
	if err != nil || cfg.Retention.Age != math.MaxInt64/time.Second*time.Second {
		t.Errorf("%v, %v", cfg.Retention, err)
	}
}
