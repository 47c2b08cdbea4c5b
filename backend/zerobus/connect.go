package zerobus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/headrace/headrace/internal/misconfig"
)

// settings say how to mend the setting of the gRPC endpoint.
var settings = misconfig.Hints{
	misconfig.Untrusted: "check the host of Endpoint, or name the authority that signs for it with the option TLS",
	misconfig.NoTLS:     "the server there does not speak TLS: check the port of Endpoint",
	misconfig.NeedsTLS:  "the server there speaks TLS: write Endpoint with https",
	misconfig.NoHTTP2:   notService,

	misconfig.LongHeaders: "shorten the token or the other headers of the HeadersProvider",
}

const notService = "no gRPC service is there: is Endpoint that of Zerobus Ingest, and not the URL of the workspace or of another server?"

// errConnection says: there is no connection, or it was lost. The service has said nothing.
var errConnection = errors.New("the connection failed")

// connectionFault wraps errConnection, and explains an err that comes from a wrong setting.
func connectionFault(err error) error {
	return fmt.Errorf("%w: %w", errConnection, settings.Explain(err))
}

// dial calls the function of the option Dial, and returns at the end of ctx at the latest. The function may not look at its context, and
// then an opening, or the Close of a producer that opens a stream, would take as long as the function.
func (c *Client) dial(ctx context.Context, hostport string) (net.Conn, error) {
	var conn net.Conn
	var err error
	returned := start(func() { conn, err = c.cfg.dial(ctx, hostport) })
	select {
	case <-returned:
		return conn, err
	case <-ctx.Done():
		go func() {
			if <-returned; err == nil {
				_ = conn.Close() // nobody else will
			}
		}()
		return nil, ctx.Err()
	}
}

// connect makes a connection for a call.
func (c *Client) connect(ctx context.Context, to *url.URL) (net.Conn, error) {
	conn, err := c.dial(ctx, to.Host)
	if err != nil {
		return nil, connectionFault(err)
	}
	if to.Scheme == "http" {
		return conn, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cfg.tls != nil {
		t = c.cfg.tls.Clone()
	}
	if t.ServerName == "" {
		t.ServerName = to.Hostname()
	}
	t.NextProtos = []string{"h2"}
	secure := tls.Client(conn, t)
	err = secure.HandshakeContext(ctx)
	// A server that ignores the list of protocols would answer in HTTP/1.
	if err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
		err = &misconfig.Sign{Cause: misconfig.NoHTTP2, Err: errors.New("the server has not agreed to HTTP/2")}
	}
	if err != nil {
		_ = conn.Close()
		return nil, connectionFault(err)
	}
	return secure, nil
}
