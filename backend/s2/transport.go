package s2

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/h2"
	"github.com/headrace/headrace/internal/misconfig"
)

// A transport sends requests: through the RoundTripper of the caller, if given, and then over the connections.
type transport struct {
	*http.Transport
	first http.RoundTripper
}

func newTransport(t *http.Transport, wrap func(http.RoundTripper) http.RoundTripper) *transport {
	return &transport{t, wrap(observed{t})}
}

// RoundTrip sends a request through the first RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.first.RoundTrip(req)
}

// transport makes a transport for calls.
func (c *Client) transport() *transport { return newTransport(c.dialing(), c.cfg.wrap) }

// idleConn is how long a connection without requests is kept. It is Go's default.
const idleConn = 90 * time.Second

// dialing holds the settings for new connections, which all transports share.
func (c *Client) dialing() *http.Transport {
	dialer := &net.Dialer{Timeout: c.cfg.connect, KeepAlive: 15 * time.Second} // Go's default
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: c.cfg.connect,
		DisableCompression:  true, // the client asks for compression itself, and limits the decompressed size
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     idleConn,
		DialContext:         dialer.DialContext,
	}
	if c.cfg.tls != nil {
		// The transports change their copies, for example NextProtos. A shared config would carry the change into the other
		// transports and into the caller's own clients.
		t.TLSClientConfig = c.cfg.tls.Clone()
	}
	return t
}

// pingAfter makes a dead connection of a session end after 30 s: 15 s without a frame, and 15 s without an answer to a ping.
const pingAfter = 15 * time.Second

// appending makes the transport for append sessions. Each session has a connection of its own: see package h2.
func (c *Client) appending() *transport {
	t := c.dialing()
	h2.Configure(t, pingAfter)
	return newTransport(t, c.cfg.wrap)
}

// newReads makes a transport for read sessions: HTTP/2 only, with prior knowledge on plain http.
func (c *Client) newReads() *transport {
	t := c.dialing()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	t.IdleConnTimeout = 0 // see Client.leave
	t.HTTP2 = &http.HTTP2Config{
		MaxReadFrameSize:          1 << 20, // a full batch fits into one or two HTTP/2 frames
		MaxReceiveBufferPerStream: 4 << 20, // the memory for a reader with a slow consumer
		SendPingTimeout:           pingAfter,
		PingTimeout:               pingAfter,
		WriteByteTimeout:          30 * time.Second,
	}
	return newTransport(t, c.cfg.wrap)
}

// observed adds two facts to the error of a request: whether there was no connection, and so nothing was sent; and whether a
// wrong setting is the cause, and so a further attempt is useless. Both facts decide what an append may have done: see judge.
// observed stands after the RoundTripper of the caller, because an answer of the caller's own tells nothing about the
// connections.
type observed struct{ connections *http.Transport }

func (o observed) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	res, err := o.connections.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil {
		return res, nil
	}
	err = settings.Explain(err)
	if !connected.Load() {
		err = &unsentError{err}
	}
	return nil, err
}

// An unsentError says that nothing of a request was sent: there was no access token, or no connection. A connection fails if the
// name is not found, nobody listens, or the handshake of TLS fails or takes too long.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// settings say how to correct a wrong setting of a client.
var settings = misconfig.Hints{
	misconfig.NoHTTP2:   "sessions need HTTP/2, and the server, or a proxy before the server, does not offer HTTP/2",
	misconfig.Untrusted: "check the host of the endpoint, or give the certificate authority of the server with the option TLS",
	misconfig.NoTLS:     "the server does not speak TLS: write the endpoint as http://host:port",
	misconfig.NeedsTLS:  "the server speaks TLS: write the endpoint with https",

	misconfig.LongHeaders: "shorten the access token",
}

// eventsMayPass reports whether server-sent events may work after this failure over HTTP/2: the client reached a server, and the
// server did not answer.
func eventsMayPass(err error) bool {
	var refused *Error
	var setting *misconfig.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &setting):
		return setting.Cause == misconfig.NoHTTP2
	}
	return !errors.As(err, &dial) || dial.Op != "dial"
}
