package server_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

func TestStatsCountWhatIsStoredAndReadOnce(t *testing.T) {
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Inject(server.Fault{Op: server.HeadCall, Do: server.Status(503)})
	call := func(method, path, body string, want int) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/json"}}
		if method == "POST" {
			r.Header["Producer-Id"], r.Header["Producer-Epoch"], r.Header["Producer-Seq"] = []string{"p"}, []string{"0"}, []string{"0"}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
		}
	}
	call("PUT", "/s", "[1]", 201)
	call("POST", "/s", "[2, 3]", 200)
	call("POST", "/s", "[2, 3]", 204) // a resend
	call("GET", "/s?offset=-1", "", 200)
	call("HEAD", "/s", "", 503)
	call("GET", "/absent", "", 404)

	got := s.Stats()
	if got.Appends != 2 || got.Bytes != int64(len("1,2,3,")) || got.ReadBytes != got.Bytes || got.Faults != 1 || got.Streams != 1 || got.Open != 0 {
		t.Errorf("%+v", got)
	}
	want := map[server.Call]int64{
		{Name: "create", Status: "201"}: 1, {Name: "append", Status: "200"}: 1, {Name: "append", Status: "204"}: 1,
		{Name: "read", Status: "200"}: 1, {Name: "read", Status: "404"}: 1, {Name: "head", Status: "503"}: 1,
	}
	if !maps.Equal(got.Calls, want) {
		t.Errorf("calls %v", got.Calls)
	}
}

func TestACallWhoseClientLeavesCountsAsCut(t *testing.T) {
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	create := httptest.NewRequest("PUT", "/s", nil)
	s.ServeHTTP(httptest.NewRecorder(), create)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/s?offset=now&live=long-poll", nil).WithContext(ctx))
	}()
	for s.Stats().Open == 0 {
		runtime.Gosched()
	}
	leave()
	<-done
	if got := s.Stats(); got.Calls[server.Call{Name: "long poll", Status: "cut"}] != 1 || got.Open != 0 {
		t.Errorf("calls %v, %d open", got.Calls, got.Open)
	}
}
