package server

import (
	"strings"
	"testing"
	"time"
)

func TestConfigFillsInWhatIsNotSaid(t *testing.T) {
	c := Config{}.complete()
	if c.TrimDelay != 50*time.Millisecond || c.PurgeAfter != 2*time.Second || c.HeartbeatLeast != 5*time.Second || c.HeartbeatMost != 15*time.Second || c.Clock == nil {
		t.Errorf("zero: %+v", c)
	}
	c = Config{TrimDelay: -1, PurgeAfter: time.Hour, HeartbeatLeast: time.Minute}.complete()
	if c.TrimDelay != 0 || c.PurgeAfter != time.Hour || c.HeartbeatLeast != time.Minute || c.HeartbeatMost != time.Minute {
		t.Errorf("given: %+v", c)
	}
}

// A server that was never started has no address and can be closed. A closed server cannot be started.
func TestServerIsStartedOnceAndNotAfterClose(t *testing.T) {
	s := newServer(t, Config{})
	if s.URL() != "" {
		t.Errorf("URL %q before Start", s.URL())
	}
	s.DropConnections() // there are no connections
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("a closed server was started")
	}
	s = newServer(t, Config{})
	if err := s.Start("no address"); err == nil || s.URL() != "" {
		t.Errorf("started at %q, %v", s.URL(), err)
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("a server was started twice")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongBasinOfAConfigIsNamed(t *testing.T) {
	if _, err := New(Config{Basins: []Basin{{Name: "x"}}}); err == nil || !strings.Contains(err.Error(), "s2 server: make the basins of Config") {
		t.Error(err)
	}
}
