package server_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

// The request waits for a body that never comes, and would hold a Shutdown without a deadline up for ever.
func TestCloseEndsAShutdownThatWaits(t *testing.T) {
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "http://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "PUT /s HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n")
	for s.Stats().Open == 0 {
		runtime.Gosched()
	}
	shut := make(chan error, 1)
	go func() { shut <- s.Shutdown(context.Background()) }()
	for { // until the Shutdown has begun
		late, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		late.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
}
