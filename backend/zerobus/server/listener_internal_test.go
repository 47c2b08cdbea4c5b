package server

import (
	"net"
	"testing"
)

// addressed is a connection whose client has a given address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

// A client may use the port of a cut connection again, before gRPC has noticed the cut. The new connection is another one:
// the end of the old connection does not hide it from DropConnections.
func TestConnectionIsNotTakenForAnotherOfItsPort(t *testing.T) {
	l := newListener(pipeAddr("here:1"), &transcripts{})
	accept := func() (served, client net.Conn) {
		t.Helper()
		client, raw := net.Pipe()
		go l.take(addressed{raw, pipeAddr("client:1")})
		served, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return served, client
	}
	old, _ := accept()
	l.drop()
	served, client := accept()
	_ = old.Close() // gRPC notices the cut
	l.drop()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection is not cut")
	}
	if at := served.RemoteAddr().(peerAddr); at.conn != served || at.String() != "client:1" {
		t.Errorf("the address %v leads to another connection", at)
	}
}
