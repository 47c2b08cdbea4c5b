// Package unread passes over request bodies that an answer does not depend on.
//
// net/http reads what a handler has left of a body before it answers, and waits for it without an end: a client that announces
// a body and sends none would get no answer, and would keep its connection for ever.
package unread

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Bytes is how much of a body is passed over. net/http, too, gives a connection up behind as many bytes.
const Bytes = 256 << 10

// Errors of PassOver.
var (
	ErrStalled = errors.New("the body does not come")
	ErrLong    = errors.New("the body is not needed and too long to pass over")
)

// PassOver reads what is left of a body, so that the connection can be used again. Where the rest does not come within the
// time given, or is longer than Bytes, PassOver returns an error, and the connection ends behind the answer.
func PassOver(w http.ResponseWriter, r *http.Request, within time.Duration) error {
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil
	}
	control := http.NewResponseController(w)
	_ = ReadBefore(control, time.Now().Add(within))
	n, err := io.CopyN(io.Discard, r.Body, Bytes+1)
	if err == io.EOF {
		return ReadBefore(control, time.Time{}) // a deadline would end a live read
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		_ = ReadBefore(control, time.Now()) // net/http reads on behind the answer
	}
	if n > Bytes {
		return ErrLong
	}
	return ErrStalled
}

// ReadBefore sets the deadline of reading a body. The zero time means that there is none. A ResponseWriter that has no
// deadlines, as in tests, is left alone.
func ReadBefore(control *http.ResponseController, deadline time.Time) error {
	if err := control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
