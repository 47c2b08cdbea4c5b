package codec

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/owned"
)

var (
	errWriteOnly = fmt.Errorf("this codec only encodes: %w", errors.ErrUnsupported)
	errReadOnly  = fmt.Errorf("this codec only decodes: %w", errors.ErrUnsupported)
	errNoAppend  = errors.New("the function did not append: its result does not begin with the bytes it was given")
)

// Func returns a codec made of two functions. Both must be safe for use from many goroutines at the same time. contentType is
// a media type, or "" for no type.
//
// enc appends the encoding of a value to dst, like append. dec returns the value encoded by src; dec may keep src but must
// never write to src. Either function may be nil: a codec without dec is write-only, a codec without enc is read-only, and the
// missing call fails with [errors.ErrUnsupported].
//
// A function that returns the encoding alone, like json.Marshal, and does not append, would lose the content of dst. Such a
// function causes an error as soon as dst is not empty. While dst is empty, the codec copies the bytes, because the bytes may
// be memory of the value.
func Func[T any](contentType string, enc func(dst []byte, v T) ([]byte, error), dec func(src []byte) (T, error)) Codec[T] {
	return FuncFormat(Format{ContentType: contentType}, enc, dec)
}

// FuncFormat is [Func] with a whole [Format] instead of a media type, for example with the schema that some stores need. Do not
// write to f.Schema afterwards.
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

// wrapError names the package and the operation in an error.
func wrapError(op string, err error) error { return fmt.Errorf("codec: %s: %w", op, err) }
