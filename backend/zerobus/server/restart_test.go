package server_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// While a Restart waits for the clients, no other process can take the address, and a new connection is reset before the
// server has said anything.
func TestRestartKeepsItsAddress(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	s.opened()
	restarted := make(chan error, 1)
	go func() { restarted <- srv.Restart(true, 0) }()
	addr := strings.TrimPrefix(srv.Endpoint, "http://")
	for { // until the old server accepts no connection any more
		c, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNRESET) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1)) // the first byte of the server's settings
		_ = c.Close()
		if err != nil {
			break
		}
	}
	if l, err := net.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another listener has got the address: %v", err)
		if err == nil {
			_ = l.Close()
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.wantCode(codes.OK, "")
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	again := authorized(t, srv, dial(t, srv), tbl)
	again.send(createJSON(tbl))
	again.opened()
}

// Close and a Shutdown whose time is over cut off the clients that a Restart waits for, and the Restart then starts nothing.
func TestCloseEndsARestart(t *testing.T) {
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		graceful bool
		end      func(*zerobustest.Server) error
		want     error
	}{
		"close, clients stay":    {true, (*zerobustest.Server).Close, nil},
		"shutdown, clients stay": {true, func(s *zerobustest.Server) error { return s.Shutdown(expired) }, context.Canceled},
		"close, server is down":  {false, (*zerobustest.Server).Close, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory(), zerobustest.Token("mine"))
				conn := dial(t, srv, grpc.WithContextDialer(srv.Dial))
				s := openStream(t, conn, "authorization", "Bearer mine", "x-databricks-zerobus-table-name", tbl)
				s.send(createJSON(tbl))
				s.opened()
				restarted := make(chan error, 1)
				go func() { restarted <- srv.Restart(c.graceful, time.Hour) }()
				synctest.Wait()
				began := time.Now()
				if err := c.end(srv); !errors.Is(err, c.want) {
					t.Errorf("ended with %v, want %v", err, c.want)
				}
				if err := <-restarted; err == nil {
					t.Error("a server was started behind its end")
				}
				if waited := time.Since(began); waited >= time.Hour {
					t.Errorf("the end took %v", waited)
				}
				s.wantCode(codes.Unavailable, "")
			})
		})
	}
}

// A signal in front of the confirmation would be a breach of the protocol.
func TestStreamIsNotSignalledBeforeItIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory(), zerobustest.Token("mine"))
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Delay(time.Minute)})
		conn := dial(t, srv, grpc.WithContextDialer(srv.Dial))
		s := openStream(t, conn, "authorization", "Bearer mine", "x-databricks-zerobus-table-name", tbl)
		s.send(createJSON(tbl))
		synctest.Wait() // the server holds the request up
		srv.Signal(tbl, 1500*time.Millisecond)
		s.opened()
		srv.Signal(tbl, 1500*time.Millisecond)
		s.want(goldenSignal)
	})
}
