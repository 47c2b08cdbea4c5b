package h2

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// ErrRefused says that the server has not begun to work on a request, so another attempt repeats nothing.
var ErrRefused = errors.New("the server has refused the request")

const codeRefused = 7 // REFUSED_STREAM

// DoAfterSettings is [Do] for a server that has refused the request. The request waits for the SETTINGS of the server, and leaves
// behind our ack of them. The wait costs a round trip, so it is not for every request. But nginx refuses every request with a body
// that comes earlier, if its http2_body_preread_size is smaller than the first window of HTTP/2.
func DoAfterSettings(conn net.Conn, req *http.Request, pingAfter time.Duration) (*Stream, *http.Response, error) {
	return do(conn, req, pingAfter, true)
}

type patientKey struct{}

// AfterSettings returns a context for a request over a transport of [Configure]. The request is sent as [DoAfterSettings] does.
func AfterSettings(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, true)
}

// meet exchanges SETTINGS with the server.
func (s *Stream) meet() error {
	s.post(greeting())
	for !s.met {
		_, answered, err := s.frame()
		if answered {
			err = errors.New("the server has answered before there was a request")
		}
		if err != nil {
			return s.lost(err)
		}
	}
	return nil
}
