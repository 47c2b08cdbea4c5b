package durablestreams

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A place in a stream is "<offset>/<n>": n messages, or bytes of a framed stream, behind an offset of the server. Where the
// server says which stream it is, apart from others of the name before and after it, that stands first: "<id>/<offset>/<n>".
func place(id, offset string, n int64) backend.Offset {
	if id != "" {
		offset = id + "/" + offset
	}
	return backend.Offset(offset + "/" + strconv.FormatInt(n, 10))
}

// identify learns which stream the server reads from, where it says so. An offset of an earlier stream of the name may be one of
// this stream by chance, with other records behind it.
func (r *reader) identify(h http.Header) error {
	id := h.Get("Headrace-Stream-Id")
	switch {
	case id == "":
		return nil
	case !validOffset(id):
		return protocolErrorf("Headrace-Stream-Id %.40q", id)
	case r.id != "" && r.id != id:
		return fmt.Errorf("%w: the place is of another stream, which had this name before or after", backend.ErrOutOfRange)
	}
	r.id = id
	return nil
}

// streamID is what an answer other than a reader's says of the stream, "" when that is nothing or cannot be part of a place.
func streamID(h http.Header) string {
	if id := h.Get("Headrace-Stream-Id"); validOffset(id) {
		return id
	}
	return ""
}

// parsePlace takes apart what place made, and nothing else.
func parsePlace(o backend.Offset) (id, offset string, n int64, err error) {
	i := strings.LastIndexByte(string(o), '/')
	if i >= 0 {
		offset = string(o[:i])
		if before, behind, ok := strings.Cut(offset, "/"); ok && validOffset(before) {
			id, offset = before, behind
		}
	}
	if !validOffset(offset) {
		return "", "", 0, fmt.Errorf("%w: %.80q is no place of a durable stream", backend.ErrOutOfRange, o)
	}
	n, ok := number(string(o[i+1:]))
	if !ok || len(o)-i > 2 && o[i+1] == '0' {
		return "", "", 0, fmt.Errorf("%w: %.80q is no place of a durable stream", backend.ErrOutOfRange, o)
	}
	return id, offset, n, nil
}
