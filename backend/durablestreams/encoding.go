package durablestreams

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
)

const (
	jsonType   = "application/json"
	binaryType = "application/octet-stream"
)

// An encoding says how records become the body of a request. check refuses a record without a form in a body; a nil check
// refuses nothing. size is how many bytes a record adds to the body. size never returns an error, and has the type for
// [backend.Limits]. body appends the body of a batch to dst.
type encoding struct {
	contentType string
	check       func(value []byte, headers backend.Headers, at time.Time) error
	size        func(value []byte, headers backend.Headers, at time.Time) (int, error)
	body        func(dst []byte, recs []backend.Record) []byte
}

// meter checks and measures a record. A producer calls meter for every record offered.
func (e encoding) meter(value []byte, headers backend.Headers, at time.Time) (int, error) {
	if e.check != nil {
		if err := e.check(value, headers, at); err != nil {
			return 0, err
		}
	}
	return e.size(value, headers, at)
}

// encodingOf chooses the encoding by the format. A framed stream never has a text type, because SSE would change line ends
// within the frames.
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

// checkMessage refuses a record if a JSON stream would not give the same bytes back.
func checkMessage(value []byte, headers backend.Headers, _ time.Time) error {
	if len(headers) > 0 {
		return fmt.Errorf("durablestreams: %w: a JSON stream has no room for headers, see Envelope", backend.ErrRejected)
	}
	if what := checkJSON(value); what != "" {
		return fmt.Errorf("durablestreams: %w: a value cannot be a message of a JSON stream: %s", backend.ErrRejected, what)
	}
	return nil
}

// sizeMessage counts the value and the comma or bracket behind the value.
func sizeMessage(value []byte, _ backend.Headers, _ time.Time) (int, error) {
	return len(value) + 1, nil
}

// bodyJSON makes a single array. The server takes the elements as messages, and an array as a value stays one message.
func bodyJSON(dst []byte, recs []backend.Record) []byte {
	sep := byte('[')
	for i := range recs {
		dst = append(grow(dst, len(recs[i].Value)+2, i, len(recs)), sep)
		dst = append(dst, recs[i].Value...)
		sep = ','
	}
	return append(dst, ']')
}

// grow makes room in a body for record i of n, which needs as many bytes. The records in front tell how long the body becomes, so the
// records need not be measured first. A body that grows by append alone would allocate five times its length.
func grow(dst []byte, bytes, i, n int) []byte {
	if cap(dst)-len(dst) >= bytes {
		return dst
	}
	rest := 0
	if i > 0 {
		rest = len(dst) / i * (n - i)
	}
	return slices.Grow(dst, max(bytes, rest+rest/16))
}
