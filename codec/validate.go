package codec

// Validate returns c with a check of every value: before it is encoded, and after it is decoded, so that neither side has
// to trust the other. What check refuses never reaches the stream or the loop; the error is an [*InvalidError] around
// check's own. check must be safe for use from many goroutines at once, and must not change or keep the value.
func Validate[T any](c Codec[T], check func(T) error) Codec[T] {
	return &validateCodec[T]{inner: c, check: check}
}

// An InvalidError says that a value, though it can be represented, is not one that the stream may hold. Unwrap gives the
// reason as the check returned it. Validation by codec/protobuf returns it too.
type InvalidError struct {
	Err error
}

func (e *InvalidError) Error() string { return "codec: invalid value: " + e.Err.Error() }

// Unwrap returns what the check said.
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

func (c *validateCodec[T]) Decode(src []byte) (T, error) {
	v, err := c.inner.Decode(src)
	if err != nil {
		return v, err
	}
	if err := c.check(v); err != nil {
		var zero T
		return zero, &InvalidError{Err: err}
	}
	return v, nil
}
