package durablestreams

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// place makes a place in a stream. It is "<offset>/<n>": n messages, or bytes of a framed stream, behind an offset of the
// server. If the server gives the stream an id, other than those of earlier and later streams of the same name, the id stands
// first: "<id>/<offset>/<n>". The places of messages end with marks, see places.
func place(id, offset string, n int64) backend.Offset {
	if id != "" {
		offset = id + "/" + offset
	}
	return backend.Offset(offset + "/" + strconv.FormatInt(n, 10))
}

// identify learns the id of the stream from a server with ids. An offset of an earlier stream of the same name may also be an
// offset of this stream, with other records behind the offset, and only the id tells the two apart.
func (r *reader) identify(h http.Header) error {
	id := h.Get("Headrace-Stream-Id")
	switch {
	case id == "":
		return nil
	case !validOffset(id):
		return protocolErrorf("Headrace-Stream-Id %.40q", id)
	// The reader may hold a place of the deleted stream, or the stream was replaced between two requests. Both would
	// skip or mix records without a word.
	case r.id != "" && r.id != id:
		return fmt.Errorf("%w: the place belongs to another stream of this name, an earlier or a later one", backend.ErrOutOfRange)
	}
	r.id = id
	return nil
}

// streamID is the id of the stream in an answer to another request than a read. It is "" if the server sends no id, or an id
// with characters for which a place has no room.
func streamID(h http.Header) string {
	if id := h.Get("Headrace-Stream-Id"); validOffset(id) {
		return id
	}
	return ""
}

// parsePlace takes apart a place made by place, and refuses every other text.
func parsePlace(o backend.Offset) (id, offset string, n int64, err error) {
	i := strings.LastIndexByte(string(o), '/')
	if i >= 0 {
		offset = string(o[:i])
		// An offset of a server holds no slash, so a second slash separates the id.
		if before, behind, ok := strings.Cut(offset, "/"); ok && validOffset(before) {
			id, offset = before, behind
		}
	}
	if !validOffset(offset) {
		return "", "", 0, fmt.Errorf("%w: %.80q is not a place in a durable stream", backend.ErrOutOfRange, o)
	}
	digits := strings.TrimRight(string(o[i+1:]), string(mark))
	marked := int64(len(o) - (i + 1) - len(digits))
	n, ok := number(digits)
	// Marks stand only behind a multiple of marks, because every place has one spelling.
	if !ok || len(digits) > 1 && digits[0] == '0' || marked >= marks || marked > 0 && n%marks != 0 {
		return "", "", 0, fmt.Errorf("%w: %.80q is not a place in a durable stream", backend.ErrOutOfRange, o)
	}
	return id, offset, n + marked, nil
}
