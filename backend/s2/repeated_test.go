package s2_test

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
)

// fakeClient is a client of a server that answers as h does.
func fakeClient(t testing.TB, token string, h http.HandlerFunc, opts ...s2.Option) *s2.Client {
	t.Helper()
	at := listen(t, h)
	c, err := s2.New(s2.Config{Token: token, AccountEndpoint: at, BasinEndpoint: at}, patient(opts...)...)
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

// The server waits for whole seconds, so a second comes on top of the timeout. The timeout is a little less than the second that
// the server takes. The rest of it is for a loaded machine, and for the same reason no other test runs beside this one.
func TestAReadThatWaitsLessThanASecondIsAnswered(t *testing.T) {
	t.Parallel()
	_, st := fresh(t, []s2.Option{s2.Timeout(950 * time.Millisecond)})
	put(t, st, "0")
	got, err := st.Read(t.Context(), s2.Range{From: backend.Latest, Wait: time.Millisecond})
	if len(got.Records) != 0 || err != nil {
		t.Errorf("%+v, %v, want nothing", got, err)
	}
}

// Times and waits at the end of their range are that, and do not come out at the other.
func TestHugeTimesDoNotOverflow(t *testing.T) {
	asked := make(chan url.Values, 2)
	c := fakeClient(t, "any-token", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()
		w.Header().Set("Content-Type", "application/protobuf") // no bytes are a batch without records
	})
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
	_, create := manage(c).CreateStream(t.Context(), "a\xff", s2.StreamConfig{})
	_, _, ensure := manage(c).EnsureStream(t.Context(), "a\xff", s2.StreamConfig{})
	_, issue := admin.New(c).IssueAccessToken(t.Context(), admin.AccessToken{ID: "a\xff"})
	_, fence := b.Stream("s").SetFence(t.Context(), "a\xff", s2.Condition{})
	token := "a\xff"
	_, app := b.Stream("s").Append(t.Context(), values("0"), s2.Condition{FencingToken: &token})
	_, opened := b.Stream("s", s2.FencingToken(token)).NewAppender(backend.Format{}).Open(t.Context())
	for _, err := range []error{create, ensure, issue, fence, app, opened} {
		want(t, err, backend.ErrRejected)
	}
}
