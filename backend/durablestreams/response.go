package durablestreams

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A response is a reader's knowledge about a response beside its bytes.
type response struct {
	body   io.ReadCloser // nil without a response, and at the end of a response
	length int64         // bytes not read yet, -1 when unknown
	start  string        // offset of the first byte
	next   string        // offset behind the last byte
	tail   bool          // next is the tail
	closed bool          // next is the tail, and there will be no more
	whole  bool          // the response is a single record
}

// begin checks the headers of a response, and makes the response current. Wrong headers are an error here, before a single record
// of the response is returned: a record with a wrong place could be skipped or read twice later.
func (r *reader) begin(resp *http.Response) error {
	h := resp.Header
	// The id comes first: in another stream, none of the other headers means what the reader expects.
	if err := r.identify(h); err != nil {
		return err
	}
	next, err := nextOffset(h)
	if err != nil {
		return err
	}
	// An answer that ends before the place is stale or about other data. Its records would come a second time.
	if err := r.checkOrder(next); err != nil {
		return err
	}
	// From here on, an answer before this offset is stale, and not a wrong place of the caller's.
	r.answered, r.stale = true, 0
	if err := r.takeCursor("Stream-Cursor", h.Get("Stream-Cursor")); err != nil {
		return err
	}
	// The start is the base of every place in this response.
	start, err := startOffset(r.ask, next, h)
	if err != nil {
		return err
	}
	// The pace only counts answers at the tail: elsewhere an answer without progress is an error.
	switch {
	case next != r.ask:
		r.pace.still = 0
	case r.atTail:
		r.pace.still++
	}
	waited := resp.StatusCode == http.StatusNoContent // for nothing
	// A 204 has no content type, so only an answer with a body tells how its records are found.
	if !waited {
		// A proxy may compress although nobody has asked. The counts of a place are counts of bytes as the server
		// stores them, so the reader refuses and does not decode.
		if encoded(h) {
			return protocolErrorf("content encoding %.40q, although the request asked for none", h.Get("Content-Encoding"))
		}
		if err := r.kind(h.Get("Content-Type")); err != nil {
			return err
		}
	}
	r.response = response{
		body: resp.Body, length: resp.ContentLength, start: start, next: next,
		tail: isTrue(h.Get("Stream-Up-To-Date")), closed: isTrue(h.Get("Stream-Closed")),
	}
	// The end of a sealed stream is its tail, and a long-poll without data was at the tail all the time.
	r.tail = r.tail || r.closed || waited
	// A frame may begin in one response and end in the next. Its first bytes lie before the offset of this response, so
	// the count begins below zero.
	r.count, r.split = -int64(len(r.rest)), splitter{}
	if waited {
		r.split.phase = afterArray // the body is empty
	}
	return nil
}

// checkOrder compares the end of a response with the offset in the request. Offsets can be compared, because the protocol orders
// offsets by their bytes.
func (r *reader) checkOrder(next string) error {
	if !validOffset(r.ask) || next >= r.ask {
		return nil
	}
	err := fmt.Errorf("%w: %.40q is beyond the tail, which is %.40q", backend.ErrOutOfRange, r.ask, next)
	if r.answered {
		err = fmt.Errorf("%w: %w", errStale, err)
	}
	return err
}

// takeCursor keeps the server's cursor from a header or a field. A server need not send a cursor, and the last cursor
// stays then. A cursor is digits, of any number.
func (r *reader) takeCursor(name, cursor string) error {
	switch {
	case cursor == "":
		return nil
	case !validCursor(cursor):
		return protocolErrorf("%s %.40q", name, cursor)
	}
	r.cursor = cursor
	return nil
}

// encoded reports whether the bytes of a response differ from the bytes of the stream.
func encoded(h http.Header) bool {
	e := h.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

// startOffset is the offset at the beginning of a response to a request for ask. Behind "-1" is an offset of the server, and only
// our server names the offset, in a header beside the protocol.
func startOffset(ask, next string, h http.Header) (string, error) {
	start := h.Get("Headrace-Start-Offset")
	switch {
	case ask != "-1" || start == "":
		return ask, nil
	case !validOffset(start) || start > next:
		return "", protocolErrorf("Headrace-Start-Offset %.40q before %.40q", start, next)
	}
	return start, nil
}

// content is how records are found in the bytes.
type content byte

const (
	unknown  content = iota
	messages         // of a JSON array
	frames           // see the documentation of the package
	chunks           // each piece of bytes is a record
)

// kind learns from the content type how records are found in the bytes.
func (r *reader) kind(contentType string) error {
	t := mediaType(contentType)
	text := strings.HasPrefix(t, "text/")
	as := frames
	switch {
	case t == jsonType:
		as = messages
	case r.raw:
		as = chunks
	case text:
		return fmt.Errorf("%w: a stream of %.80q has no records, only bytes: see Stream.Raw", backend.ErrUnsupported, t)
	}
	// The first response decides. A stream cannot change its type, but another stream may take its name.
	if r.as == unknown {
		r.as, r.text = as, text
	}
	if r.as != as || r.text != text {
		return protocolErrorf("the content type has become %.80q", t)
	}
	return nil
}
