package main

import (
	"strings"
	"testing"
	"time"
)

func TestACopyOfJSONStopsAtARecordThatIsNone(t *testing.T) {
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	from := s.url("a.db", "n")
	s.in = "1\n2\nthree\n4\n"
	s.run(exitOK, "produce", from)
	for name, to := range map[string]string{"exactly once": "ds+" + server.Address() + "n", "at least once": s.url("b.db", "n")} {
		t.Run(name, func(t *testing.T) {
			s.run(exitOK, "create", "--content-type", "application/json", to)
			_, errs := s.run(exitFailed, "copy", "--json", from, to, "--checkpoint", "file:"+s.dir+"/places")
			if !strings.Contains(errs, "json") || !strings.Contains(errs, "2@") { // the offset of the record
				t.Errorf("copy said %q", errs)
			}
			if out, _ := s.run(exitOK, "tail", to, "--from", "start", "--until", "now", "-o", "raw"); out != "1\n2\n" {
				t.Errorf("the copy holds %q", out)
			}
		})
	}
}
