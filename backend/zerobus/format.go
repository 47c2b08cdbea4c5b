package zerobus

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// payloadBytes is the most bytes of records in a request: the service takes messages of 10 MiB, and 64 KiB are left for the
// bytes around the records. The vendor's clients have the same number.
const payloadBytes = 10<<20 - 64<<10

// batchRecords keeps the bytes around the records of a batch below 64 KiB. At most three bytes stand before a record of
// less than 16 KiB, and four before a record of less than 2 MiB.
const batchRecords = 20_000

// recordTypeOf returns the type of the records in a stream of the format. The error says why the format cannot be a stream.
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

// checkTable refuses a name without exactly three parts. The service decides which characters a part may have.
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
	errUTF8    = fmt.Errorf("the JSON is not UTF-8: %w", backend.ErrRejected)
	errObject  = fmt.Errorf("a row of a JSON stream is an object, whose keys are columns: use a codec of a struct or a map: %w", backend.ErrRejected)
)

// size is the meter of a stream, and refuses a record that no table takes. A record that is refused here costs its own receipt.
// A record that the service refuses costs the stream, and all records behind have to be sent again. The check of UTF-8 is
// necessary: gRPC on the server's side would refuse wrong JSON before the service's own checks, and end the stream again and
// again, with an error that names no record.
func (t recordType) size(value []byte, headers backend.Headers, _ time.Time) (int, error) {
	switch {
	case len(headers) > 0:
		return 0, errHeaders
	case len(value) > payloadBytes:
		return 0, fmt.Errorf("%d bytes, the limit of a record is %d: %w", len(value), payloadBytes, backend.ErrTooLarge)
	case t == jsonRecords && !utf8.Valid(value):
		return 0, errUTF8
	case t == jsonRecords && !isObject(value):
		return 0, errObject
	}
	return len(value), nil
}

// isObject reports whether a JSON text begins as an object. The codec vouches for the rest of the text.
func isObject(text []byte) bool {
	if len(text) > 0 && text[0] == '{' { // nearly always; bytes.TrimLeft alone takes 14 of 31 ns
		return true
	}
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}

// checkHeaderless refuses a batch with headers. Pipelined has checked the numbers and sizes.
func checkHeaderless(recs []backend.Record) error {
	for i := range recs {
		if len(recs[i].Headers) > 0 {
			return &backend.RecordError{Index: i, Err: errHeaders}
		}
	}
	return nil
}
