package durablestreams

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/backend"
)

const (
	jsonType   = "application/json"
	binaryType = "application/octet-stream"
)

// An encoding says how records become the body of a request. check refuses a record that cannot be part of a body; nil refuses
// none. size is what a record adds to the body, and never an error: its type is that of [backend.Limits]. body appends the
// body of a batch to dst.
type encoding struct {
	contentType string
	check       func(*backend.Record) error
	size        func(*backend.Record) (int, error)
	body        func(dst []byte, recs []backend.Record) []byte
}

// meter is the door of every record.
func (e encoding) meter(r *backend.Record) (int, error) {
	if e.check != nil {
		if err := e.check(r); err != nil {
			return 0, err
		}
	}
	return e.size(r)
}

// encodingOf chooses by the format. A framed stream is never of a text type, or readers over SSE would lose its line ends.
func encodingOf(f backend.Format) encoding {
	t := mediaType(f.ContentType)
	if t == jsonType && f.ContentEncoding == "" {
		return encoding{jsonType, checkMessage, sizeMessage, bodyJSON}
	}
	if t == "" || t == jsonType || strings.HasPrefix(t, "text/") {
		t = binaryType
	}
	return encoding{t, nil, meterFrame, bodyFrames}
}

func checkMessage(r *backend.Record) error {
	if len(r.Headers) > 0 {
		return fmt.Errorf("durablestreams: %w: a JSON stream has no place for headers, see Envelope", backend.ErrRejected)
	}
	if what := checkJSON(r.Value); what != "" {
		return fmt.Errorf("durablestreams: %w: a value is no message of a JSON stream: %s", backend.ErrRejected, what)
	}
	return nil
}

// sizeMessage counts the comma, or a bracket in its place.
func sizeMessage(r *backend.Record) (int, error) { return len(r.Value) + 1, nil }

// bodyJSON makes one array, whose elements the server takes as messages: a value that is an array itself stays one.
func bodyJSON(dst []byte, recs []backend.Record) []byte {
	n := 2
	for i := range recs {
		n += len(recs[i].Value) + 1
	}
	if cap(dst) < n {
		dst = make([]byte, 0, n)
	}
	sep := byte('[')
	for i := range recs {
		dst = append(dst, sep)
		dst = append(dst, recs[i].Value...)
		sep = ','
	}
	return append(dst, ']')
}
