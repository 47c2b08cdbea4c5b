package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

// body reads a request's body whole. The limit is enforced before anything is stored, whatever the length that the request
// announces.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > int64(h.appendBytes) {
		return nil, errTooLarge
	}
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil, nil
	}
	// One byte more than announced: splitJSON may need it, and the end of the body shows in it. A client that only announces
	// much gets no memory for it: the whole is allocated behind the first bytes.
	const first = 64 << 10
	size := r.ContentLength
	if size < 0 {
		size = 511
	}
	buf := make([]byte, 0, min(size, first)+1)
	control := http.NewResponseController(w)
	end := time.Now().Add(h.bodyTime)
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(int(r.ContentLength)+1-len(buf), 1))
		}
		if err := readBefore(control, earlier(time.Now().Add(h.stall), end)); err != nil {
			return nil, err
		}
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), len(buf)+256<<10)])
		buf = buf[:len(buf)+n]
		if len(buf) > h.appendBytes {
			return nil, errTooLarge
		}
		if err == io.EOF {
			return buf, readBefore(control, time.Time{})
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errStalled
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the body broke off", ErrRequest)
		}
	}
}

// Bounds of a body that the answer does not depend on. net/http reads up to the same number of bytes before it answers, but
// it waits for them without an end: a client that announces a body and sends none would get no answer and keep its
// connection for ever.
const (
	unreadBytes = 256 << 10
	unreadTime  = 2 * time.Second
)

// passOver reads what is left of a body, so that the connection can be used again. Where the rest does not come soon, or is
// long, it returns an error, and the connection ends behind the answer.
func (h *Handler) passOver(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil
	}
	control := http.NewResponseController(w)
	_ = readBefore(control, time.Now().Add(min(h.stall, unreadTime)))
	n, err := io.CopyN(io.Discard, r.Body, unreadBytes+1)
	if err == io.EOF {
		return readBefore(control, time.Time{}) // a deadline would end a live read
	}
	w.Header().Set("Connection", "close")
	_ = readBefore(control, time.Now()) // net/http reads on behind the answer
	if n > unreadBytes {
		return errTooLarge
	}
	return errStalled
}

func readBefore(control *http.ResponseController, deadline time.Time) error {
	if err := control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
