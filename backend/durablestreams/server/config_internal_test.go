package server

import (
	"testing"
	"time"
)

func TestConfigFillsInWhatIsNotSaid(t *testing.T) {
	c := Config{}.complete()
	if c.LongPoll != 30*time.Second || c.Lifetime != time.Minute || c.KeepAlive != 15*time.Second || c.BodyStall != time.Minute || c.BodyTime != 5*time.Minute ||
		c.AppendBytes != 10<<20 || c.ChunkBytes != 4<<20 || c.Origin != "*" {
		t.Errorf("zero: %+v", c)
	}
	c = Config{LongPoll: 1, ChunkBytes: -1, Origin: NoOrigin}.complete()
	if c.LongPoll != time.Millisecond || c.ChunkBytes != 1 || c.Origin != "" {
		t.Errorf("given: %+v", c)
	}
}

// A server that was never started has no address and can be closed. A closed server cannot be started.
func TestServerIsStartedOnceAndNotAfterClose(t *testing.T) {
	make := func() *Server {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := make()
	if s.URL() != "" {
		t.Errorf("URL %q before Start", s.URL())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("a closed server was started")
	}
	s = make()
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
