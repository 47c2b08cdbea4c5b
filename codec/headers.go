package codec

import "github.com/headrace/headrace/backend"

// A HeaderCodec is a [Codec] that also writes headers of a record, and reads the headers when it decodes. A producer and a consumer
// use these methods wherever their codec has them. The store must keep headers; a store without headers refuses the records.
//
// A decorator keeps the headers of the codec inside: it implements both methods with [AppendHeaders] and [DecodeRecord].
type HeaderCodec[T any] interface {
	Codec[T]

	// AppendHeaders appends the headers of v to h and returns the result. On an error AppendHeaders returns h unchanged. The
	// receiver copies the values of the headers before v changes.
	AppendHeaders(h backend.Headers, v T) (backend.Headers, error)

	// DecodeRecord is Decode for a record with headers. The value may point into src and into the values of the headers.
	DecodeRecord(src []byte, h backend.Headers) (T, error)
}

// AppendHeaders appends the headers that c writes for v. A codec without headers appends nothing.
func AppendHeaders[T any](c Codec[T], h backend.Headers, v T) (backend.Headers, error) {
	if c, ok := c.(HeaderCodec[T]); ok {
		return c.AppendHeaders(h, v)
	}
	return h, nil
}

// DecodeRecord decodes a record by its bytes and headers. A codec without headers decodes the bytes alone.
func DecodeRecord[T any](c Codec[T], src []byte, h backend.Headers) (T, error) {
	if c, ok := c.(HeaderCodec[T]); ok {
		return c.DecodeRecord(src, h)
	}
	return c.Decode(src)
}

// WithHeaders returns a codec that encodes like c, and that writes and reads headers beside the bytes: for example the version of a
// schema, the type of a message, or the identity of a trace. Both functions must be safe for use from many goroutines at the same
// time, and either may be nil.
//
// write appends the headers of a value to h, like append. read chooses the codec for a record by the headers of the record, for
// example an older codec for an older version; a nil codec means c. An error of read refuses the record, as any error of Decode does.
// A record without headers reaches read too, with nil headers.
func WithHeaders[T any](c Codec[T], write func(h backend.Headers, v T) backend.Headers, read func(h backend.Headers) (Codec[T], error)) HeaderCodec[T] {
	return &headerCodec[T]{Codec: c, write: write, read: read}
}

type headerCodec[T any] struct {
	Codec[T]
	write func(backend.Headers, T) backend.Headers
	read  func(backend.Headers) (Codec[T], error)
}

func (c *headerCodec[T]) AppendHeaders(h backend.Headers, v T) (backend.Headers, error) {
	h, err := AppendHeaders(c.Codec, h, v)
	if err == nil && c.write != nil {
		h = c.write(h, v)
	}
	return h, err
}

// Decode is DecodeRecord for a record without headers.
func (c *headerCodec[T]) Decode(src []byte) (T, error) { return c.DecodeRecord(src, nil) }

func (c *headerCodec[T]) DecodeRecord(src []byte, h backend.Headers) (T, error) {
	inner := c.Codec
	if c.read != nil {
		chosen, err := c.read(h)
		switch {
		case err != nil:
			var zero T
			return zero, wrapError("headers: decode", err)
		case chosen != nil:
			inner = chosen
		}
	}
	return DecodeRecord(inner, src, h)
}
