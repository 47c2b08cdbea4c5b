package durablestreams

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// Raw is the bytes of a stream without frames, for streams of any type that other programs write or read. Like [Stream], Raw
// is a Sink and a Source.
//
// The protocol knows no records in bytes. So the records of a reader of Raw are pieces of the stream as the pieces come, of up
// to 256 KiB and cut anywhere; only a UTF-8 character of a text is not cut. All pieces together are the stream, and a consumer
// can resume behind each piece. Over [SSE] a text comes with LF for all its line ends, one event of up to 4 MiB at a time.
//
// A producer on Raw appends value behind value, once, under the content type of its format, or under application/octet-stream
// when the format has no type or is compressed. Records with headers are refused. Empty records are refused, because nothing
// of an empty record would be left in the stream. Times are dropped.
//
// On a JSON stream, and for the format application/json, Raw is no different from Stream: the protocol has messages there.
type Raw struct{ stream *Stream }

// Raw returns the stream without Headrace's frames.
func (s *Stream) Raw() Raw { return Raw{s} }

var _ backend.Stream = Raw{}

// NewAppender implements [backend.Sink].
func (r Raw) NewAppender(f backend.Format) backend.Appender {
	return r.stream.pipelined(r.stream.newAppender(r.stream.rawEncodingOf(f)))
}

// OpenReader implements [backend.Source], for the places that [Stream.OpenReader] takes.
func (r Raw) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return r.stream.openReader(ctx, from, true)
}

func (s *Stream) rawEncodingOf(f backend.Format) encoding {
	e := s.encodingOf(f)
	if e.contentType == jsonType {
		return e
	}
	e = encoding{contentType: binaryType, check: checkRaw, size: sizeRaw, body: bodyRaw}
	if t := mediaType(f.ContentType); t != "" && f.ContentEncoding == "" {
		e.contentType = t
	}
	return e
}

func checkRaw(value []byte, headers backend.Headers, _ time.Time) error {
	switch {
	case len(headers) > 0:
		return fmt.Errorf("durablestreams: %w: a stream of bytes has no room for headers", backend.ErrRejected)
	case len(value) == 0:
		return fmt.Errorf("durablestreams: %w: an empty value leaves nothing in a stream of bytes", backend.ErrRejected)
	}
	return nil
}

func sizeRaw(value []byte, _ backend.Headers, _ time.Time) (int, error) { return len(value), nil }

func bodyRaw(dst []byte, recs []backend.Record) []byte {
	for i := range recs {
		dst = append(grow(dst, len(recs[i].Value), i, len(recs)), recs[i].Value...)
	}
	return dst
}
