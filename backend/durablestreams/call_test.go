package durablestreams_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestOperations(t *testing.T) {
	ctx := t.Context()
	c, _ := serve(t)
	s := c.Stream("a b/c?d")
	if _, err := s.Head(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Fatal(err)
	}
	initial := durablestreams.Initial([]byte(`[1,[2]]`))
	for range 2 { // the second one appends nothing
		if _, err := s.Create(ctx, "application/json", initial, durablestreams.TTL(time.Hour+time.Nanosecond)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Create(ctx, "text/plain"); !errors.Is(err, durablestreams.ErrExists) || !errors.Is(err, backend.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "application/json", []byte(`3`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "text/plain", []byte(`3`)); !errors.Is(err, durablestreams.ErrSequence) {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "application/json", []byte(`{`)); !errors.Is(err, backend.ErrRejected) {
		t.Fatal(err)
	}
	wantStored(t, s, "1 [2] 3")
	info, err := s.Head(ctx)
	if err != nil || info.TTL != time.Hour+time.Second || info.ContentType != "application/json" || info.Closed || info.Next == "" {
		t.Fatalf("%+v, %v", info, err)
	}
	fork := c.Stream("fork")
	if _, err := fork.Create(ctx, "", durablestreams.ForkOf(s, backend.Latest)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Seal(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(ctx, "application/json", []byte(`4`)); !errors.Is(err, backend.ErrStreamClosed) {
		t.Fatal(err)
	}
	if _, err := fork.Append(ctx, "application/json", []byte(`4`)); err != nil {
		t.Fatal(err)
	}
	wantStored(t, fork, "1 [2] 3 4")
	if err := s.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx); !errors.Is(err, durablestreams.ErrGone) || !errors.Is(err, backend.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, "text/plain", durablestreams.TTL(-1)); !errors.Is(err, backend.ErrRejected) {
		t.Fatal(err)
	}
}

func TestCreateTakesEverythingTheProtocolHas(t *testing.T) {
	ctx := t.Context()
	c, _ := serve(t)
	expiry := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	whole := c.Stream("whole")
	for range 2 {
		if _, err := whole.Create(ctx, "application/json", durablestreams.ExpiresAt(expiry), durablestreams.Initial([]byte(`[1,2,3]`)), durablestreams.Sealed()); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := whole.Head(ctx); err != nil || !info.Closed || !info.Expires.Equal(expiry) || info.TTL != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	wantStored(t, whole, "1 2 3")

	source := c.Stream("a source/of forks")
	first, err := source.Create(ctx, "application/json", durablestreams.Initial([]byte(`[1,2]`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Append(ctx, "application/json", []byte(`[3,4,5]`)); err != nil {
		t.Fatal(err)
	}
	second := all(t, source, first.Next)
	for name, fork := range map[string]struct {
		opts []durablestreams.CreateOption
		want string
	}{
		"at the tail":     {[]durablestreams.CreateOption{durablestreams.ForkOf(source, backend.Latest)}, "1 2 3 4 5"},
		"at an offset":    {[]durablestreams.CreateOption{durablestreams.ForkOf(source, first.Next)}, "1 2"},
		"at a record":     {[]durablestreams.CreateOption{durablestreams.ForkOf(source, second[1].Next)}, "1 2 3 4"},
		"with first data": {[]durablestreams.CreateOption{durablestreams.ForkOf(source, first.Next), durablestreams.Initial([]byte(`[9]`))}, "1 2 9"},
	} {
		s := c.Stream("fork " + name)
		if _, err := s.Create(ctx, "", fork.opts...); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantStored(t, s, fork.want)
	}
	if _, err := c.Stream("none").Create(ctx, "", durablestreams.ForkOf(c.Stream("missing"), backend.Latest)); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("a fork of nothing: %v", err)
	}
}

func TestClientsAreMadeOfGoodURLsOnly(t *testing.T) {
	for _, base := range []string{"", "server", "ftp://server", "http://", "http://server?a=secret", "http://server#a", "http://user:secret@server:port", "://secret"} {
		if _, err := durablestreams.New(base); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
	for _, name := range []string{"offset", "live", "cursor"} {
		if _, err := durablestreams.New("http://server", durablestreams.Query(name, durablestreams.Static("1"))); err == nil {
			t.Errorf("the protocol's own parameter %s", name)
		}
	}
	c, err := durablestreams.New("http://user:secret@server/a%2Fb")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "/a%2Fb/s", "x/y z": "/a%2Fb/x/y%20z", "a?b#c%2F": "/a%2Fb/a%3Fb%23c%252F", "..a/.b.": "/a%2Fb/..a/.b."} {
		if got := c.Stream(name).URL(); got != "http://user:xxxxx@server"+want {
			t.Errorf("%q is at %s, want %s", name, got, want)
		}
	}
}

// A name that came from somewhere must not reach streams outside of the base URL.
func TestNamesStayBelowTheBaseURL(t *testing.T) {
	c, _ := serve(t)
	for _, name := range []string{"..", "../x", "a/../../x", ".", "a/./b", "../stream/x"} {
		s := c.Stream(name)
		_, created := s.Create(t.Context(), "text/plain")
		_, opened := s.OpenReader(t.Context(), backend.Earliest)
		_, session := s.NewAppender(jsonFormat).Open(t.Context())
		_, forked := c.Stream("x").Create(t.Context(), "", durablestreams.ForkOf(s, backend.Latest))
		for op, err := range map[string]error{"create": created, "read": opened, "write": session, "fork": forked} {
			if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTransient) {
				t.Errorf("%s %q: %v", op, name, err)
			}
		}
	}
}
