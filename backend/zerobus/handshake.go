package zerobus

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/headrace/headrace/internal/misconfig"
)

// settings say how to mend the setting of the gRPC endpoint.
var settings = misconfig.Hints{
	misconfig.Untrusted: "check the host of Endpoint, or name the authority that signs for it with the option TLS",
	misconfig.NoTLS:     "the server there does not speak TLS: check the port of Endpoint",
	misconfig.NeedsTLS:  "the server there speaks TLS: write Endpoint with https",
	misconfig.NoHTTP2:   notService,
}

const notService = "no gRPC service is there: is Endpoint that of Zerobus Ingest, and not the URL of the workspace or of another server?"

// A handshake is gRPC's own, and also tells the dialer if a wrong setting is the cause of a failure. gRPC itself takes
// every failed handshake for a passing failure.
type handshake struct {
	credentials.TransportCredentials
	dialer    *dialer
	plaintext bool
}

// ClientHandshake is gRPC's. Its error goes to the dialer before gRPC sees the error: gRPC would turn the error into a text.
func (h *handshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	h.dialer.note(settings.Explain(err))
	if err == nil && h.plaintext {
		conn = &greeted{Conn: conn, dialer: h.dialer}
	}
	return conn, info, err
}

// Clone is gRPC's.
func (h *handshake) Clone() credentials.TransportCredentials {
	return &handshake{TransportCredentials: h.TransportCredentials.Clone(), dialer: h.dialer, plaintext: h.plaintext}
}

// A greeted connection looks at the first byte from the server. Without TLS there is no handshake from which to learn the
// server's protocol.
type greeted struct {
	net.Conn
	dialer *dialer
	heard  bool
}

func (c *greeted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 || c.heard {
		return n, err
	}
	c.heard = true
	switch p[0] {
	case 0x15: // an alert of TLS
		c.dialer.note(settings.Blame(misconfig.NeedsTLS, errors.New("the server answered with an alert of TLS")))
	case 'H': // HTTP/1. A frame of HTTP/2 begins with its length, and H would be a first frame of more than 4 MiB.
		c.dialer.note(settings.Blame(misconfig.NoHTTP2, errors.New("the server answered in HTTP/1")))
	}
	return n, err
}
