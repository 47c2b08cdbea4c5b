package server

import (
	"net"
	"testing"
)

// A client sends again on a new connection what may be lost on a dropped one. So a request of the dropped connection that
// has waited for the end of DropConnections must not begin afterwards: its batch would be stored twice, or in another order.
func TestDroppedConnectionBeginsNoRequest(t *testing.T) {
	srv := newServer(t, Config{})
	client, served := net.Pipe()
	defer client.Close()
	c := &conn{Conn: served}
	dropping := make(chan struct{})
	srv.barrier = dropping
	began := make(chan bool)
	go func() { began <- srv.enter(c) }()
	c.drop()
	srv.gate.Lock()
	srv.barrier = nil
	srv.gate.Unlock()
	close(dropping)
	if <-began {
		t.Error("a request of a dropped connection has begun")
		c.handlers.Done()
		srv.handlers.Done()
	}
}
