package s2

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/headrace/headrace/internal/misconfig"
)

// roundTrip sends a request and notes in its error what is known of a failure: that no connection was made, so that nothing
// was sent, and that a wrong setting is the cause, which no further attempt mends.
func roundTrip(t *http.Transport, req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	res, err := t.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
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
