package codec

import (
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// maxPooled is the largest record, in bytes, after which an encoder goes back to its pool. The engine's buffer grows with
// the longest string it has seen, and one huge record must not stay in memory for the sake of the small ones after it.
const maxPooled = 1 << 20

// jsonOptions take back two choices of the engine. Unsorted maps would give one value several encodings, which breaks
// whoever hashes or compares records. A [time.Duration] without a representation would make every type with a timeout
// in it useless; nanoseconds are what encoding/json has always written.
var jsonOptions = json.JoinOptions(json.Deterministic(true), jsonv1.FormatDurationAsNano(true))

// JSON returns the codec that writes a value as one JSON text, content type application/json. Any T that the engine can
// represent will do; for others (a channel, a func, a complex number) every call fails. The page of this package lists
// where the bytes differ from those of encoding/json.
//
// Encoding costs no allocation of its own: what remains are those of T's own MarshalJSON and MarshalText methods and of
// maps. Decoding copies, it never aliases src, and allocates the value. Strings of up to 256 bytes that repeat from record to record may be
// shared between values.
func JSON[T any]() Codec[T] {
	c := new(jsonCodec[T])
	c.encoders.New = func() any {
		e := new(jsonEncoder[T])
		e.engine = jsontext.NewEncoder(e, jsonOptions)
		return e
	}
	return c
}

// The pool holds memory only, no channel, timer or goroutine, so it may be filled inside a testing/synctest bubble and
// used outside it.
type jsonCodec[T any] struct {
	encoders sync.Pool // of *jsonEncoder[T]
}

// A jsonEncoder is an engine that lives for many records. Resetting one per record, which is what json.MarshalWrite
// does, costs a fifth of the time of a small struct. The engine sees a stream of values; Write appends them to dst.
type jsonEncoder[T any] struct {
	engine *jsontext.Encoder
	value  T // its address goes to the engine: a T in an interface would be an allocation
	dst    []byte
}

func (e *jsonEncoder[T]) Write(p []byte) (int, error) {
	e.dst = append(e.dst, p...)
	return len(p), nil
}

func (c *jsonCodec[T]) Format() Format { return Format{ContentType: "application/json"} }

func (c *jsonCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	// There is no defer: if a method of T panics the encoder is in the middle of a value and must not be used again.
	e := c.encoders.Get().(*jsonEncoder[T])
	e.value, e.dst = v, dst
	start := e.engine.OutputOffset()
	err := json.MarshalEncode(e.engine, &e.value)
	out := e.dst

	// What goes back to the pool must not keep the caller's value or buffer alive.
	var zero T
	e.value, e.dst = zero, nil
	if err != nil {
		rebase(err, start)
		e.engine.Reset(e, jsonOptions) // or the next value would continue the broken one
		c.encoders.Put(e)
		return dst, fmt.Errorf("codec: json: encode: %w", err)
	}
	if len(out)-len(dst) <= maxPooled {
		c.encoders.Put(e)
	}
	// The engine ends each value of its stream with a newline; a record is one value and has none.
	return out[:len(out)-1], nil
}

func (c *jsonCodec[T]) Decode(src []byte) (T, error) {
	// The memory of the value cannot be pooled: UnmarshalJSON of T may make the value point into itself, as a slice of an
	// inline buffer does, and such a slice still refers to this memory after the value is copied.
	v := new(T)
	if err := json.Unmarshal(src, v, jsonOptions); err != nil {
		var zero T
		return zero, fmt.Errorf("codec: json: decode: %w", err)
	}
	return *v, nil
}

// rebase makes the offset in an error of the engine count from the start of the value. The engine counts from the first
// value of its stream, so the same mistake would read differently each time.
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
