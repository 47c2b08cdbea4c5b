package server_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// A server that was never started has no address and can be closed, and a closed one cannot be started.
func TestServerIsStartedOnceAndNotAfterClose(t *testing.T) {
	start := func() *server.Server {
		s, err := server.New(server.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	if s.URL() != "" || s.OAuthURL() != "" {
		t.Errorf("URLs %q and %q before Start", s.URL(), s.OAuthURL())
	}
	s.DropConnections() // of which there are none
	if err := s.Restart(true, 0); err == nil {
		t.Error("a server that was not started was restarted")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("a closed server was started")
	}
	s = start()
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
	if err := s.Restart(false, 0); err == nil {
		t.Error("a closed server was restarted")
	}
}

// A connection that is cut after some bytes carries what is sent before, and then breaks.
func TestCutConnectionBreaksBehindItsBytes(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	in := srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.CutAfter(200)})
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	s.opened()
	acks := 0
	for i := range int64(100) {
		s.send(ingest(jsonRecord, i, `{"n":1}`))
		if _, err := s.recv(); err != nil {
			break
		}
		acks++
	}
	if acks == 0 || acks == 100 || in.Hits() != 1 {
		t.Errorf("%d acks, %d hits, want some acks before the cut", acks, in.Hits())
	}
	s.wantCode(codes.Unavailable, "")
}

// The client of the test package gets tokens, also over TLS and in memory.
func TestClientOfTheTestServerGetsAToken(t *testing.T) {
	for name, opts := range map[string][]zerobustest.Option{
		"plain":     nil,
		"TLS":       {zerobustest.TLS()},
		"in memory": {zerobustest.InMemory(), zerobustest.Client("me", "secret")},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, append(opts, zerobustest.Table(tbl), zerobustest.TokenLife(time.Hour))...)
			client := srv.Client()
			defer client.Close()
			s, err := client.Table(tbl).NewAppender(backend.Format{ContentType: "application/json"}).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
				t.Error(err)
			}
			if n := srv.Stats().Tokens; n != 1 {
				t.Errorf("%d tokens were issued", n)
			}
		})
	}
}
