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

// errBrokenOff says that the connection has ended. It is an ErrRequest and not an unknown error, because unknown errors
// are logged as failures of the storage.
var errBrokenOff = fmt.Errorf("%w: the body broke off", ErrRequest)

// body reads the whole body of a request. It checks the limit against the bytes that arrive, because the announced
// length may be missing or wrong.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// An announced length beyond the limit is refused before a byte of the body is read.
	if r.ContentLength > int64(h.AppendBytes) {
		return nil, errTooLarge
	}
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return nil, nil
	}
	// The buffer has one byte more than the announced length. splitJSON may need this byte, and the Read that finds the
	// end of the body needs room too. The buffer is small at first: a client must not make the server allocate much
	// memory only by announcing a large body.
	const first = 64 << 10
	size := r.ContentLength
	if size < 0 {
		size = 511
	}
	buf := make([]byte, 0, min(size, first)+1)
	control := http.NewResponseController(w)
	end := time.Now().Add(h.BodyTime)
	for {
		// The first buffer is full, so the client does send a long body: the buffer gets its whole announced size in
		// one step. Without an announced size it grows as a list does.
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(int(r.ContentLength)+1-len(buf), 1))
		}
		// Each read has its own deadline, so a slow body may go on while a stalled body is given up. BodyTime bounds
		// the whole body, because a client could otherwise send one byte a minute for ever.
		if unread.ReadBefore(control, earlier(time.Now().Add(h.BodyStall), end)) != nil {
			return nil, errBrokenOff
		}
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), len(buf)+256<<10)])
		buf = buf[:len(buf)+n]
		if len(buf) > h.AppendBytes {
			return nil, errTooLarge
		}
		if err == io.EOF {
			if unread.ReadBefore(control, time.Time{}) != nil {
				return nil, errBrokenOff
			}
			return buf, nil
		}
		// A body that stands still may be the fault of the network. Clients try again after a 408, and do not after a
		// 400.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errStalled
		}
		if err != nil {
			return nil, errBrokenOff
		}
	}
}

// unreadTime bounds the wait for a body on which the answer does not depend.
const unreadTime = 2 * time.Second

// passOver reads the rest of a body, so that the connection can be used again.
func (h *handler) passOver(w http.ResponseWriter, r *http.Request) error {
	switch err := unread.PassOver(w, r, min(h.BodyStall, unreadTime)); err {
	case unread.ErrStalled:
		return errStalled
	case unread.ErrLong:
		return errTooLarge
	case nil:
		return nil
	default:
		return errBrokenOff
	}
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
