package zerobus

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// payloadBytes is what one request may carry of records: 10 MiB, which the service takes as a message, less 64 KiB for
// what is around them. It is the number of the vendor's clients.
const payloadBytes = 10<<20 - 64<<10

// batchRecords keeps what is around the records of a batch below those 64 KiB: a record of less than 2 MiB costs at most
// four bytes, and one that costs more than three is 16 KiB or longer.
const batchRecords = 20_000

// recordTypeOf says what a stream of that format is, or why there can be none.
func recordTypeOf(f backend.Format) (recordType, error) {
	if f.ContentEncoding != "" {
		return 0, fmt.Errorf("a table takes no content encoding, and this is %q: %w", httpwire.Clip(f.ContentEncoding), backend.ErrRejected)
	}
	media, _, err := mime.ParseMediaType(f.ContentType)
	switch {
	case err != nil:
		return 0, fmt.Errorf("content type %q: a table takes application/json or application/x-protobuf: %w", httpwire.Clip(f.ContentType), backend.ErrRejected)
	case media == "application/json":
		return jsonRecords, nil
	case media != "application/x-protobuf" && media != "application/protobuf":
		return 0, fmt.Errorf("a table takes application/json or application/x-protobuf, not %q: %w", media, backend.ErrRejected)
	case f.Schema == nil:
		return 0, fmt.Errorf("protobuf records need the DescriptorProto of their message as the schema of the format: %w", backend.ErrRejected)
	}
	return protoRecords, checkDescriptor(f.Schema)
}

// checkTable refuses names that are not three parts. What the parts are made of is the service's to say.
func checkTable(name string) error {
	parts := strings.Split(name, ".")
	if len(parts) != 3 {
		return fmt.Errorf("table name %q: must have exactly 3 parts: %w", httpwire.Clip(name), backend.ErrRejected)
	}
	for i, what := range []string{"catalog", "schema", "table"} {
		if parts[i] == "" {
			return fmt.Errorf("table name %q: %s name cannot be empty: %w", httpwire.Clip(name), what, backend.ErrRejected)
		}
	}
	if !httpwire.Printable(name) {
		return fmt.Errorf("table name %q: cannot be a header value: %w", httpwire.Clip(name), backend.ErrRejected)
	}
	return nil
}

var (
	errHeaders = fmt.Errorf("a table row has no headers: %w", backend.ErrRejected)
	errUTF8    = fmt.Errorf("JSON that is not UTF-8: %w", backend.ErrRejected)
	errObject  = fmt.Errorf("a row of a JSON stream is an object, whose keys are columns: use a codec of a struct or a map: %w", backend.ErrRejected)
)

// size is the meter and the door of a stream. JSON that is not UTF-8 would be refused below the service's own checks and
// end the stream, again and again, with an error that accuses nobody.
func (t recordType) size(r *backend.Record) (int, error) {
	switch {
	case len(r.Headers) > 0:
		return 0, errHeaders
	case len(r.Value) > payloadBytes:
		return 0, fmt.Errorf("a record of %d bytes, and the service takes %d: %w", len(r.Value), payloadBytes, backend.ErrTooLarge)
	case t == jsonRecords && !utf8.Valid(r.Value):
		return 0, errUTF8
	case t == jsonRecords && !isObject(r.Value):
		return 0, errObject
	}
	return len(r.Value), nil
}

// isObject reports whether a JSON text begins as an object. The codec has seen to the rest of it.
func isObject(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}

// checkHeaderless refuses a batch with headers. Pipelined has checked everything else that does not need a look at every byte.
func checkHeaderless(recs []backend.Record) error {
	for i := range recs {
		if len(recs[i].Headers) > 0 {
			return &backend.RecordError{Index: i, Err: errHeaders}
		}
	}
	return nil
}
