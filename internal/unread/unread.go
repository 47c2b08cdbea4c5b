// Package unread reads and drops request bodies that do not matter for the answer.
//
// Before net/http sends an answer, it reads the rest of the request body, and waits for the rest without a time limit. A
// client may announce a body and not send the body. Such a client would get no answer, and would hold its connection for
// ever.
package unread

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Bytes is how much of a body PassOver reads. net/http has the same limit: it closes a connection rather than read
// more.
const Bytes = 256 << 10

// Errors of PassOver.
var (
	ErrStalled = errors.New("the rest of the request body does not arrive")
	ErrLong    = errors.New("the rest of the request body is not needed, and is too long to read and drop")
)

// PassOver reads the rest of a body, to let the client use the connection again. If the rest does not arrive within the
// given time, PassOver returns ErrStalled. If the rest is longer than Bytes, PassOver returns ErrLong. After an error the
// connection ends behind the answer.
func PassOver(w http.ResponseWriter, r *http.Request, within time.Duration) error {
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil
	}
	control := http.NewResponseController(w)
	_ = ReadBefore(control, time.Now().Add(within))
	n, err := io.CopyN(io.Discard, r.Body, Bytes+1)
	if err == io.EOF {
		return ReadBefore(control, time.Time{}) // an old deadline would end a long read that is still working
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		_ = ReadBefore(control, time.Now()) // net/http would go on reading after the answer; a deadline in the past stops it
	}
	if n > Bytes {
		return ErrLong
	}
	return ErrStalled
}

// ReadBefore sets the deadline for reading a body. The zero time removes the deadline. ReadBefore does nothing for a
// ResponseWriter without deadlines, such as a test uses.
func ReadBefore(control *http.ResponseController, deadline time.Time) error {
	if err := control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
