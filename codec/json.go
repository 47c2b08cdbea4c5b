package codec

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// maxPooled is the size of the largest record, in bytes, after which an encoder goes back to its pool. The engine's buffer
// grows with the longest string it has seen. After a huge record we drop the encoder, because the small records that follow do
// not need so much memory.
const maxPooled = 1 << 20

// jsonOptions change two defaults of the engine. Maps are sorted, because unsorted maps would give the same value several
// encodings, and users who hash or compare records would see differences. A [time.Duration] is written in nanoseconds, like in
// encoding/json, because the engine by itself refuses every type with a timeout in it.
var jsonOptions = json.JoinOptions(json.Deterministic(true), jsonv1.FormatDurationAsNano(true))

// JSON returns the codec that writes a value as a JSON text, content type application/json. T may be any type that the engine
// can represent; for other types (a channel, a func, a complex number) every call fails. The package documentation lists the
// differences from the bytes of encoding/json.
//
// Encoding itself allocates nothing; maps and T's own MarshalJSON and MarshalText methods may allocate. Decoding allocates the
// value, copies, and never aliases src. Strings of up to 256 bytes that repeat from record to record may be shared between
// values. Options change what decoding accepts: [RejectUnknown], [IgnoreCase].
func JSON[T any](opts ...JSONOption) Codec[T] {
	c := &jsonCodec[T]{accept: jsonOptions, plain: plain(reflect.TypeFor[T]())}
	for _, o := range opts {
		c.accept = json.JoinOptions(c.accept, o())
	}
	c.values.New = func() any { return new(T) }
	c.encoders.New = func() any {
		e := new(jsonEncoder[T])
		e.engine = jsontext.NewEncoder(e, jsonOptions)
		return e
	}
	return c
}

// jsonCodec may be used inside and outside of a testing/synctest bubble, because its pools hold memory only: no channel, timer
// or goroutine.
type jsonCodec[T any] struct {
	encoders sync.Pool    // of *jsonEncoder[T]
	values   sync.Pool    // of *T; every T in it is zero
	plain    bool         // values may be used again
	accept   json.Options // of Decode
}

// A jsonEncoder is an engine for many records. json.MarshalWrite resets an engine for each record, and the reset takes a fifth of
// the time of a small struct (measured). So our engine sees a stream of values; Write appends the bytes of each value to dst.
type jsonEncoder[T any] struct {
	engine *jsontext.Encoder
	value  T // a field, because the engine gets its address: a T in an interface would cost an allocation
	dst    []byte
}

func (e *jsonEncoder[T]) Write(p []byte) (int, error) {
	e.dst = append(e.dst, p...)
	return len(p), nil
}

func (c *jsonCodec[T]) Format() Format { return Format{ContentType: "application/json"} }

func (c *jsonCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	// We do not put the encoder back with defer: after a panic in a method of T the encoder is in the middle of a value and must
	// not be used again.
	e := c.encoders.Get().(*jsonEncoder[T])
	e.value, e.dst = v, dst
	start := e.engine.OutputOffset()
	err := json.MarshalEncode(e.engine, &e.value)
	out := e.dst

	// An encoder in the pool must not keep the caller's value or buffer alive.
	var zero T
	e.value, e.dst = zero, nil
	if err != nil {
		rebase(err, start)
		e.engine.Reset(e, jsonOptions) // otherwise the next value would continue the broken value
		c.encoders.Put(e)
		return dst, fmt.Errorf("codec: json: encode: %w", err)
	}
	if len(out)-len(dst) <= maxPooled {
		c.encoders.Put(e)
	}
	// The engine writes a newline behind each value of its stream. A record is a single value without a newline.
	return out[:len(out)-1], nil
}

func (c *jsonCodec[T]) Decode(src []byte) (T, error) {
	v := c.values.Get().(*T)
	err := c.unmarshal(v, src)
	out := *v
	// A value that may point into itself keeps its memory, see plain. Without the reset to zero, the engine would write the next
	// record into the maps, slices and pointers that out has too.
	if c.plain {
		var zero T
		*v = zero
		c.values.Put(v)
	}
	return out, err
}

// DecodeInto implements [IntoDecoder].
func (c *jsonCodec[T]) DecodeInto(dst *T, src []byte) (err error) {
	if c.plain {
		return c.unmarshal(dst, src)
	}
	// The caller will overwrite *dst, and a value that points into itself would still refer to *dst.
	*dst, err = c.Decode(src)
	return err
}

// unmarshal decodes src into a zero value. After an error the value is zero again.
func (c *jsonCodec[T]) unmarshal(v *T, src []byte) error {
	if err := json.Unmarshal(src, v, c.accept); err != nil {
		var zero T
		*v = zero
		return fmt.Errorf("codec: json: decode: %w", err)
	}
	return nil
}

// rebase makes the offset in an error of the engine count from the start of the value. The engine counts from the first value of
// its stream, so without rebase the same mistake would have a different text each time.
func rebase(err error, start int64) {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && syntactic.ByteOffset >= start {
		syntactic.ByteOffset -= start
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && semantic.ByteOffset >= start {
		semantic.ByteOffset -= start
	}
}
