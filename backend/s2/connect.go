package s2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
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
	if hint := misconfigured(err); hint != "" {
		err = &settingError{fmt.Errorf("%w (%s)", err, hint)}
	}
	if !connected.Load() {
		err = &unsentError{err}
	}
	return nil, err
}

// An unsentError is the failure to make a connection: a name that is not found, nobody who listens, a handshake of TLS that
// fails or takes too long. Of the request nothing has left.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// A settingError is due to a wrong setting: of the endpoint or of TLS.
type settingError struct{ error }

func (e *settingError) Unwrap() error { return e.error }

// misconfigured says how to mend the setting that err is due to, "" when it is due to none.
func misconfigured(err error) string {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case lacksHTTP2(err):
		return "sessions need HTTP/2, which the server there, or a proxy before it, does not offer"
	case errors.As(err, &cert):
		return "check the endpoint's host, or name the authority that signs for it with the option TLS"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the server there does not speak TLS: an endpoint that does not is written http://host:port"
	}
	return ""
}

// lacksHTTP2 reports whether a peer refused the handshake of TLS because HTTP/2 alone was offered. The error has no type.
func lacksHTTP2(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == "tls: no application protocol"
}

// eventsMayPass reports whether server-sent events may work where an attempt over HTTP/2 failed like this: a server was
// reached, and it did not answer.
func eventsMayPass(err error) bool {
	var refused *Error
	var setting *settingError
	var dial *net.OpError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &setting):
		return lacksHTTP2(err)
	}
	return !errors.As(err, &dial) || dial.Op != "dial"
}
