package h2

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// gated sends a request over a connection that holds all writes up. The write of the request waits when gated returns.
func gated(t *testing.T) (*Stream, *gate) {
	t.Helper()
	g := newGate()
	g.in.Reset(ok)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://s2.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := Do(g, req, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	<-g.entered
	return s, g
}

// collect claims the Stream and collects a text.
func collect(t *testing.T, s *Stream, text string) bool {
	t.Helper()
	if !s.Claim() {
		t.Fatal("nothing can be written")
	}
	return s.Collect(append(make([]byte, HeadRoom), text...))
}

func TestCollectedDataLeavesTogether(t *testing.T) {
	s, g := gated(t)
	for _, text := range []string{"a", "b", "c"} {
		if !collect(t, s, text) {
			t.Fatalf("%s was not collected", text)
		}
	}
	close(g.open)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	// The first write is that of the request.
	if got := string(g.body()); got != "abc" || g.writes != 2 || s.Begun() != 3 {
		t.Errorf("%q left in %d writes, and %d claims have begun", got, g.writes, s.Begun())
	}
}

func TestCollectedDataLeavesBeforeAWriteAndTheEnd(t *testing.T) {
	s, g := gated(t)
	if !collect(t, s, "a") || !s.Claim() {
		t.Fatal("a was not collected")
	}
	long := strings.Repeat("long", mostCollected/4) + "er"
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(t.Context(), append(make([]byte, HeadRoom), long...))
		written <- err
	}()
	close(g.open)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !s.Claim() {
		t.Fatal("nothing can be written")
	}
	s.Finish()
	if !s.Collect(append(make([]byte, HeadRoom), 'c')) {
		t.Error("the claim does not hold behind Finish")
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := g.body(), "a"+long+"c"; string(got) != want {
		t.Errorf("%d bytes left, want %d", len(got), len(want))
	}
	if end := appendFrame(nil, frameData, flagEndStream, requestStream); !bytes.HasSuffix(g.out.Bytes(), end) {
		t.Errorf("the last frame is not the end of the body")
	}
}

// Collect must not wait. What it does not take is left to Write, with the claim and the room.
func TestCollectLeavesToWriteWhatCannotLeaveAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		size           int
		window, common int64
		posted         int
		ended          error
	}{
		"more than a frame":         {size: mostCollected + 1, window: 1 << 20, common: 1 << 20},
		"no room on the stream":     {size: 5, window: 4, common: 1 << 20},
		"no room on the connection": {size: 5, window: 1 << 20, common: 4},
		"much collected data":       {size: 1, window: 1 << 20, common: 1 << 20, posted: mostQueued},
		"behind the end":            {size: 1, window: 1 << 20, common: 1 << 20, ended: errAnswered},
	} {
		t.Run(name, func(t *testing.T) {
			s, g := gated(t)
			if !s.Claim() {
				t.Fatal("nothing can be written")
			}
			s.post(make([]byte, test.posted))
			s.mu.Lock()
			s.window, s.common, s.ended = test.window, test.common, test.ended
			s.mu.Unlock()
			if s.Collect(make([]byte, HeadRoom+test.size)) {
				t.Fatal("collected")
			}
			s.mu.Lock()
			if s.window != test.window || s.common != test.common {
				t.Errorf("room for %d and %d bytes is left, want %d and %d", s.window, s.common, test.window, test.common)
			}
			s.window, s.common = 1<<20, 1<<20
			s.mu.Unlock()
			close(g.open)
			if _, err := s.Write(t.Context(), make([]byte, HeadRoom+test.size)); !errors.Is(err, test.ended) {
				t.Errorf("Write: %v, want %v", err, test.ended)
			}
		})
	}
}

// The server cannot have data that was collected behind a write that failed.
func TestDataBehindAFailedWriteHasNotBegun(t *testing.T) {
	s, g := gated(t)
	if !collect(t, s, "a") || !collect(t, s, "b") {
		t.Fatal("not collected")
	}
	g.err = syscall.ECONNRESET
	close(g.open)
	if err := s.flush(); !errors.Is(err, syscall.ECONNRESET) || s.Begun() != 0 {
		t.Errorf("%v, and %d claims have begun", err, s.Begun())
	}
}
