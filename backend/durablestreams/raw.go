package durablestreams

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Raw is the bytes of a stream as they are, without frames: for streams that others write or read, of any type. It is a
// Sink and a Source as [Stream] is.
//
// The protocol knows no records in bytes, so what a reader of Raw returns as records are pieces of the stream as they come,
// of up to 256 KiB and cut anywhere; a text is not cut within a UTF-8 character. Put together they are the stream, and each
// can be resumed behind. Over [SSE] a text comes with LF for all its line ends, an event at a time of up to 4 MiB.
//
// What a producer writes through Raw is appended value behind value, once, under the content type of its format, or
// application/octet-stream where that has none or is compressed. Records with headers are refused, and empty ones, of which
// nothing would be left; times are dropped.
//
// On a JSON stream, and for the format application/json, it is no different from Stream: messages are what that protocol
// has there.
type Raw struct{ stream *Stream }

// Raw returns the stream without Headrace's frames.
func (s *Stream) Raw() Raw { return Raw{s} }

var _ backend.Stream = Raw{}

// NewAppender implements [backend.Sink].
func (r Raw) NewAppender(f backend.Format) backend.Appender {
	return r.stream.pipelined(r.stream.rawEncodingOf(f))
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

func checkRaw(r *backend.Record) error {
	switch {
	case len(r.Headers) > 0:
		return fmt.Errorf("durablestreams: %w: a stream of bytes has no place for headers", backend.ErrRejected)
	case len(r.Value) == 0:
		return fmt.Errorf("durablestreams: %w: nothing of an empty value can be appended", backend.ErrRejected)
	}
	return nil
}

func sizeRaw(r *backend.Record) (int, error) { return len(r.Value), nil }

func bodyRaw(dst []byte, recs []backend.Record) []byte {
	for i := range recs {
		dst = append(dst, recs[i].Value...)
	}
	return dst
}
