package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/headrace/headrace/internal/unread"
)

// body reads the body of a request whole. It enforces the limit on what arrives, not only on the length that the request announces.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > int64(h.AppendBytes) {
		return nil, errTooLarge
	}
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil, nil
	}
	// The buffer has one byte more than announced: splitJSON may need it, and the Read that finds the end of the body needs room.
	// At first it is small, so that a client cannot make the server allocate memory by announcing a large body.
	const first = 64 << 10
	size := r.ContentLength
	if size < 0 {
		size = 511
	}
	buf := make([]byte, 0, min(size, first)+1)
	control := http.NewResponseController(w)
	end := time.Now().Add(h.BodyTime)
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(int(r.ContentLength)+1-len(buf), 1))
		}
		if err := unread.ReadBefore(control, earlier(time.Now().Add(h.BodyStall), end)); err != nil {
			return nil, err
		}
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), len(buf)+256<<10)])
		buf = buf[:len(buf)+n]
		if len(buf) > h.AppendBytes {
			return nil, errTooLarge
		}
		if err == io.EOF {
			return buf, unread.ReadBefore(control, time.Time{})
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errStalled
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the body broke off", ErrRequest)
		}
	}
}

// unreadTime is how long the answer waits for a body that it does not depend on.
const unreadTime = 2 * time.Second

// passOver reads what is left of a body, so that the connection can be used again.
func (h *handler) passOver(w http.ResponseWriter, r *http.Request) error {
	switch err := unread.PassOver(w, r, min(h.BodyStall, unreadTime)); err {
	case unread.ErrStalled:
		return errStalled
	case unread.ErrLong:
		return errTooLarge
	default:
		return err
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
