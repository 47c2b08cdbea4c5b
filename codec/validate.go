package codec

import "github.com/headrace/headrace/backend"

// Validate returns c with a check of every value: before encoding and after decoding, so that neither the writer nor the reader has
// to trust the other. A refused value never reaches the stream or the loop of the consumer; the error is an [*InvalidError] around
// the error of check. check must be safe for use from many goroutines at the same time, and must not change or keep the value.
func Validate[T any](c Codec[T], check func(T) error) Codec[T] {
	return &validateCodec[T]{inner: c, check: check}
}

// An InvalidError means: the codec can represent the value, but the stream must not hold the value. Unwrap returns the error of the
// check. Validation by codec/protobuf returns an InvalidError too.
type InvalidError struct {
	Err error
}

func (e *InvalidError) Error() string { return "codec: invalid value: " + e.Err.Error() }

// Unwrap returns the error of the check.
func (e *InvalidError) Unwrap() error { return e.Err }

type validateCodec[T any] struct {
	inner Codec[T]
	check func(T) error
}

func (c *validateCodec[T]) Format() Format { return c.inner.Format() }

func (c *validateCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	if err := c.check(v); err != nil {
		return dst, &InvalidError{Err: err}
	}
	return c.inner.AppendEncode(dst, v)
}

func (c *validateCodec[T]) AppendHeaders(h backend.Headers, v T) (backend.Headers, error) {
	return AppendHeaders(c.inner, h, v)
}

func (c *validateCodec[T]) Decode(src []byte) (T, error) { return c.DecodeRecord(src, nil) }

func (c *validateCodec[T]) DecodeRecord(src []byte, h backend.Headers) (T, error) {
	v, err := DecodeRecord(c.inner, src, h)
	if err != nil {
		return v, err
	}
	if err := c.check(v); err != nil {
		var zero T
		return zero, &InvalidError{Err: err}
	}
	return v, nil
}
