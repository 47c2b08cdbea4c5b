package codec

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/owned"
)

var (
	errWriteOnly = fmt.Errorf("this codec only encodes: %w", errors.ErrUnsupported)
	errReadOnly  = fmt.Errorf("this codec only decodes: %w", errors.ErrUnsupported)
	errNoAppend  = errors.New("the function did not append: its result does not begin with what it was given")
)

// Func returns a codec of two functions, which must be safe for use from many goroutines at once. contentType is a media
// type, or "" when there is none.
//
// enc appends the encoding of a value to dst, as append does. dec returns the value that src encodes; it may keep src but
// never write to it. Either may be nil: a codec without dec is write-only, one without enc is read-only, and the call
// that is missing fails with [errors.ErrUnsupported].
//
// A function that returns its encoding alone, as json.Marshal does, instead of appending it, would lose what dst held.
// That is an error as soon as dst is not empty. While dst is empty the bytes are copied, because they may be memory of
// the value.
func Func[T any](contentType string, enc func(dst []byte, v T) ([]byte, error), dec func(src []byte) (T, error)) Codec[T] {
	return FuncFormat(Format{ContentType: contentType}, enc, dec)
}

// FuncFormat is [Func] for encodings of which more is known than a media type, such as the schema that some stores ask
// for. f.Schema must not be written to afterwards.
func FuncFormat[T any](f Format, enc func(dst []byte, v T) ([]byte, error), dec func(src []byte) (T, error)) Codec[T] {
	return &funcCodec[T]{format: f, enc: enc, dec: dec}
}

type funcCodec[T any] struct {
	format Format
	enc    func([]byte, T) ([]byte, error)
	dec    func([]byte) (T, error)
}

func (c *funcCodec[T]) Format() Format { return c.format }

func (c *funcCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	if c.enc == nil {
		return dst, wrapError("func: encode", errReadOnly)
	}
	out, err := c.enc(dst, v)
	if err != nil {
		return dst, wrapError("func: encode", err)
	}
	mine, ok := owned.Append(dst, out)
	if !ok {
		return dst, wrapError("func: encode", errNoAppend)
	}
	return mine, nil
}

func (c *funcCodec[T]) Decode(src []byte) (T, error) {
	var zero T
	if c.dec == nil {
		return zero, wrapError("func: decode", errWriteOnly)
	}
	v, err := c.dec(src)
	if err != nil {
		return zero, wrapError("func: decode", err)
	}
	return v, nil
}

func wrapError(op string, err error) error { return fmt.Errorf("codec: %s: %w", op, err) }
