package admin_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

const basinName = "test-basin"

// dial makes an Admin of srv.
func dial(t testing.TB, srv *s2test.Server, opts ...s2.Option) *admin.Admin {
	t.Helper()
	// A machine may be too busy to connect to itself within the default of 3 s.
	return admin.New(srv.Client(append([]s2.Option{s2.ConnectTimeout(time.Minute)}, opts...)...))
}

// fakeAdmin makes an Admin of a server that answers as h does.
func fakeAdmin(t testing.TB, h http.HandlerFunc, opts ...s2.Option) *admin.Admin {
	t.Helper()
	web := httptest.NewUnstartedServer(h)
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // of handlers that break the connection
	web.Start()
	c, err := s2.New(s2.Config{Token: "any-token", AccountEndpoint: web.URL, BasinEndpoint: web.URL}, opts...)
	check(t, err)
	t.Cleanup(func() {
		_ = c.Close()
		web.Close()
	})
	return admin.New(c)
}

// hangUp breaks the connection before there is an answer.
func hangUp() { panic(http.ErrAbortHandler) }

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"code":%q,"message":"no"}`, code)
}

// put appends values to a stream.
func put(t testing.TB, st *s2.Stream, values ...string) {
	t.Helper()
	var recs []backend.Record
	for _, v := range values {
		recs = append(recs, backend.Record{Value: []byte(v)})
	}
	_, err := st.Append(t.Context(), recs, s2.Condition{})
	check(t, err)
}

// all collects a listing.
func all[T any](t testing.TB, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func names[T any](t testing.TB, seq iter.Seq2[T, error], name func(T) string) (out []string) {
	t.Helper()
	for _, v := range all(t, seq) {
		out = append(out, name(v))
	}
	return out
}

func wantNames(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func want(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v, want %v", err, kind)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
