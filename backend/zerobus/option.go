package zerobus

import (
	"crypto/tls"
	"net/http"
	"time"

	"google.golang.org/grpc"
)

// An Option tunes a [Client] and its Sinks, or one [Sink] alone. One that is not given leaves its default; a zero or a
// false that is given means what it says.
type Option func(*config)

type config struct {
	attemptTimeout      time.Duration
	refreshBuffer       time.Duration
	pauseLimit          *time.Duration
	inFlight            int
	connectionPerStream bool
	application         string
	tls                 *tls.Config
	http                *http.Client
	headers             HeadersProvider
	dial                []grpc.DialOption
}

func defaults() config {
	return config{
		attemptTimeout:      15 * time.Second,
		refreshBuffer:       5 * time.Minute,
		inFlight:            1_000_000,
		connectionPerStream: true,
	}
}

// AttemptTimeout bounds each opening of a stream: headers or token, connection and handshake together. What takes longer
// is [backend.ErrTransient]. The default is 15 s; 0 or less leaves it to the context, which producers bound by their
// AckTimeout.
func AttemptTimeout(d time.Duration) Option { return func(c *config) { c.attemptTimeout = d } }

// PauseLimit is how long a session that the server is about to close waits for its last acknowledgements, at most. The
// default is as long as the server allows. Then the stream is half-closed and read to its end, for half a second at most; what
// is not acknowledged by then is sent again.
func PauseLimit(d time.Duration) Option { return func(c *config) { d := max(d, 0); c.pauseLimit = &d } }

// InFlight is how many batches, each of which is one request, a session has sent and not seen acknowledged. The default
// is 1,000,000, so that the producer's BufferBytes is what bounds it; 0 or less is no limit.
func InFlight(n int) Option { return func(c *config) { c.inFlight = max(n, 0) } }

// ConnectionPerStream(false) makes the streams of a Client share one connection, which is there while any of them is. It
// saves handshakes and sockets; a slow table then holds up the others, all streams end when the connection does, and the
// server may limit how many there can be. A Sink that is given options of its own has a connection of its own, which its
// streams share. The default is true.
func ConnectionPerStream(on bool) Option { return func(c *config) { c.connectionPerStream = on } }

// RefreshBuffer is how long before its end a token is replaced, but never before half of its life. While the replacement
// fails the old one is used. The default is 5 minutes; 0 or less replaces tokens when they have expired.
func RefreshBuffer(d time.Duration) Option { return func(c *config) { c.refreshBuffer = max(d, 0) } }

// Headers makes the provider say with which headers streams are opened, in place of OAuth: nothing is added to them.
func Headers(p HeadersProvider) Option { return func(c *config) { c.headers = p } }

// Application is put into the user agent, so that the service's operators can tell who calls. It must be printable ASCII.
func Application(name string) Option { return func(c *config) { c.application = name } }

// TLS is used for https, of the service as well as of the token endpoint. It is cloned. The default trusts what the
// system does.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// HTTPClient is used for the token endpoint, with its own TLS and not that of [TLS]. The default makes a connection for each token and honours HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY.
func HTTPClient(h *http.Client) Option { return func(c *config) { c.http = h } }

// DialOptions are added behind those of this package for each connection to the service. A dialer among them takes the
// place of the proxy variables.
func DialOptions(opts ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial[:len(c.dial):len(c.dial)], opts...) }
}
