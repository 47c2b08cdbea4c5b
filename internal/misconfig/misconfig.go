// Package misconfig tells a wrong setting from a failure of the network. An attempt that fails for a wrong setting fails
// again every time: a producer or consumer with endless attempts would hide the wrong setting from its user for a long
// time.
package misconfig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// A Cause is how a setting and a server do not fit.
type Cause int

// The causes that an error can reveal.
const (
	Untrusted   Cause = iota + 1 // the server's certificate is not trusted, or is for another name
	NoTLS                        // the server does not speak TLS, and the setting says TLS
	NeedsTLS                     // the server speaks TLS, and the setting says plaintext
	NoHTTP2                      // the server, or a proxy before it, does not offer HTTP/2
	OnlyHTTP2                    // the server speaks HTTP/2, and what was to be asked speaks HTTP/1
	LongHeaders                  // the headers of a request are longer than the server takes
)

// Hints say for each cause how to mend the setting, in the words of one backend. For a backend without a hint for a
// cause, the cause does not exist.
type Hints map[Cause]string

// An Error is a failure with a wrong setting as its cause.
type Error struct {
	Cause Cause
	Hint  string // how to mend the setting
	Err   error
}

// Error says what failed and how to mend the setting.
func (e *Error) Error() string { return fmt.Sprintf("%v (%s)", e.Err, e.Hint) }

// Unwrap returns what failed.
func (e *Error) Unwrap() error { return e.Err }

// Explain returns err as an [*Error] when a wrong setting is the cause of err, and err itself otherwise.
func (h Hints) Explain(err error) error { return h.Blame(cause(err), err) }

// Blame returns err as an [*Error] with the hint for c, and err itself without a hint. Blame is for a caller that knows
// the cause from elsewhere.
func (h Hints) Blame(c Cause, err error) error {
	if hint := h[c]; hint != "" && err != nil {
		return &Error{Cause: c, Hint: hint, Err: err}
	}
	return err
}

// Due reports whether err was explained by a wrong setting.
func Due(err error) bool { return errors.As(err, new(*Error)) }

// A Sign is an error that shows a cause.
type Sign struct {
	Cause Cause
	Err   error
}

// Error returns the text of Err.
func (s *Sign) Error() string { return s.Err.Error() }

// Unwrap returns Err.
func (s *Sign) Unwrap() error { return s.Err }

func cause(err error) Cause {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var sign *Sign
	switch {
	case err == nil:
		return 0
	case errors.As(err, &sign):
		return sign.Cause
	case lacksHTTP2(err):
		return NoHTTP2
	case errors.As(err, &cert):
		return Untrusted
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return NoTLS
	case strings.Contains(err.Error(), quotedAlert):
		return NeedsTLS
	case strings.Contains(err.Error(), quotedFrame), strings.Contains(err.Error(), spokeFirst):
		return OnlyHTTP2
	}
	return 0
}

// If an answer is not HTTP/1, net/http quotes its first bytes: the alert by which a TLS server answers a plain request,
// or the first frame of HTTP/2. The errors have no types.
const (
	quotedAlert = `malformed HTTP response "\x15\x03`
	quotedFrame = `malformed HTTP response "\x00\x00`
)

// spokeFirst is how net/http says that a server sent bytes on a new connection before the request. A server of HTTP/1
// waits for the request, and a server of HTTP/2 sends a frame at once. On a connection that was used before, net/http
// sends the request again over another connection, without an error.
const spokeFirst = "readLoopPeekFailLocked: %!w(<nil>)"

// lacksHTTP2 reports whether a server refused the handshake of TLS because HTTP/2 alone was offered.
func lacksHTTP2(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == "tls: no application protocol"
}
