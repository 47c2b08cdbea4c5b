package durablestreams

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/backend"
)

const jsonType = "application/json"

// An encoding is how records become the body of a request: size meters one, body appends a batch.
type encoding struct {
	contentType string
	size        func(*backend.Record) (int, error)
	body        func(dst []byte, recs []backend.Record) []byte
}

// encodingOf chooses by the format. A framed stream is never of a text type, or readers over SSE would lose its line ends.
func encodingOf(f backend.Format) encoding {
	t := mediaType(f.ContentType)
	if t == jsonType && f.ContentEncoding == "" {
		return encoding{jsonType, sizeJSON, bodyJSON}
	}
	if t == "" || t == jsonType || strings.HasPrefix(t, "text/") {
		t = "application/octet-stream"
	}
	return encoding{t, sizeFrame, bodyFrames}
}

func sizeJSON(r *backend.Record) (int, error) {
	if len(r.Headers) > 0 {
		return 0, fmt.Errorf("durablestreams: %w: a JSON stream has no place for headers", backend.ErrRejected)
	}
	if what := checkJSON(r.Value); what != "" {
		return 0, fmt.Errorf("durablestreams: %w: a value is no message of a JSON stream: %s", backend.ErrRejected, what)
	}
	return len(r.Value) + 1, nil
}

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
