package s2

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/headrace/headrace/internal/misconfig"
)

// A transport is what the client sends requests with: a step of the caller's own, if there is one, and behind it the
// connections.
type transport struct {
	*http.Transport
	first http.RoundTripper
}

func newTransport(t *http.Transport, wrap func(http.RoundTripper) http.RoundTripper) *transport {
	return &transport{t, wrap(observed{t})}
}

// RoundTrip sends a request by way of the first step.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.first.RoundTrip(req)
}

// observed notes in the error of a request what is known of the failure: that no connection was made, so that nothing was
// sent, and that a wrong setting is the cause, which no further attempt mends. It is behind every step of the caller's,
// because what such a step answers on its own says nothing of what was sent.
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

// An unsentError is the failure to make a connection: a name that is not found, nobody who listens, a handshake of TLS that
// fails or takes too long. Of the request nothing has left.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// settings say how to mend a setting of a client.
var settings = misconfig.Hints{
	misconfig.NoHTTP2:   "sessions need HTTP/2, which the server there, or a proxy before it, does not offer",
	misconfig.Untrusted: "check the endpoint's host, or name the authority that signs for it with the option TLS",
	misconfig.NoTLS:     "the server there does not speak TLS: an endpoint that does not is written http://host:port",
	misconfig.NeedsTLS:  "the server there speaks TLS: write the endpoint with https",
}

// eventsMayPass reports whether server-sent events may work where an attempt over HTTP/2 failed like this: a server was
// reached, and it did not answer.
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
