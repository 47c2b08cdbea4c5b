package main

import (
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/backendtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNumbersComeBack(t *testing.T) {
	if total, err := run(t.Context(), 1000); err != nil || total != 999*1000/2 {
		t.Errorf("%d, %v", total, err)
	}
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := serve(l)
			t.Cleanup(func() { srv.Close() })
			s := store{addr: l.Addr().String()}
			return backendtest.Target{Sink: s, Source: s, Break: srv.breakAll}
		},
		Late:    true, // what was sent may arrive after the connection was given up
		Offsets: true,
	})
}

// A connection may be accepted while the server closes. The server must not wait for it.
func TestCloseWaitsForNoNewConnection(t *testing.T) {
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := serve(l)
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(append([]byte{opRead}, make([]byte, 8)...)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
}
