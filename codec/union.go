package codec

import (
	"fmt"
	"reflect"

	"github.com/headrace/headrace/backend"
)

// Union returns a codec for messages of several types on one stream. T is an interface that all these types implement, and each
// [Case] gives one type its name and its codec. The name travels in the header of each record, so the bytes are those of the codec
// of the type alone. The store must keep headers; for other stores there is [Envelope].
//
//	type Event interface{ isEvent() }
//
//	c := codec.Union("type",
//		codec.Case[Event]("order.placed", codec.JSON[OrderPlaced]()),
//		codec.Case[Event]("order.paid", codec.JSON[OrderPaid]()))
//
// Encoding refuses nil and a value of a type without a case. Decoding refuses a record without the header, and a record with an
// unknown name: the error is an [*UnknownCaseError]. A consumer that wants to skip what it does not know decides so in its
// OnPoison.
//
// A type may have several names: the first is written, all are read. So a name may be changed without a change of old records.
//
// The content type of the union is that of its cases, or application/octet-stream if they differ. Union panics when there is no
// case, when two cases have one name, and when T is no interface. It panics when a case is compressed: compress the union instead.
func Union[T any](header string, cases ...UnionCase[T]) HeaderCodec[T] {
	if header == "" {
		panic("codec: Union: the name of the header is empty")
	}
	return &unionCodec[T]{newUnion("Union", cases), header}
}

// A UnionCase is one type of a [Union] or an [Envelope]; [Case] makes one.
type UnionCase[T any] struct {
	name  []byte
	of    reflect.Type
	codec caseCodec[T]
}

// Case gives the type V its name and its codec in a union of T. V must be a type that implements T, and no interface. V follows
// from c, so T alone must be written: Case[Event]("order.paid", codec.JSON[OrderPaid]()).
func Case[T, V any](name string, c Codec[V]) UnionCase[T] {
	var v V
	_, implements := any(v).(T)
	switch {
	case name == "":
		panic(fmt.Sprintf("codec: Case: the name of %v is empty", reflect.TypeFor[V]()))
	case c == nil:
		panic(fmt.Sprintf("codec: Case %q: the codec is nil", name))
	case !implements:
		panic(fmt.Sprintf("codec: Case %q: %v is an interface, or does not implement %v", name, reflect.TypeFor[V](), reflect.TypeFor[T]()))
	case c.Format().ContentEncoding != "":
		panic(fmt.Sprintf("codec: Case %q: the codec has the content encoding %q: compress the union, not a case", name, c.Format().ContentEncoding))
	}
	return UnionCase[T]{[]byte(name), reflect.TypeFor[V](), oneCase[T, V]{c}}
}

// An UnknownCaseError is the error of a record whose name no case of a [Union] or [Envelope] has.
type UnknownCaseError struct {
	Name string
}

func (e *UnknownCaseError) Error() string {
	return fmt.Sprintf("codec: union: no case has the name %.100q", e.Name)
}

// A caseCodec is a codec of V that takes and returns T.
type caseCodec[T any] interface {
	Format() Format
	appendEncode(dst []byte, v T) ([]byte, error)
	appendHeaders(h backend.Headers, v T) (backend.Headers, error)
	decode(src []byte, h backend.Headers) (T, error)
}

type oneCase[T, V any] struct{ Codec[V] }

func (c oneCase[T, V]) appendEncode(dst []byte, v T) ([]byte, error) {
	return c.AppendEncode(dst, any(v).(V))
}

func (c oneCase[T, V]) appendHeaders(h backend.Headers, v T) (backend.Headers, error) {
	return AppendHeaders(c.Codec, h, any(v).(V))
}

func (c oneCase[T, V]) decode(src []byte, h backend.Headers) (t T, err error) {
	v, err := DecodeRecord(c.Codec, src, h)
	if err != nil {
		return t, err
	}
	return any(v).(T), nil
}

// A union finds the case of a value and of a name.
type union[T any] struct {
	byType      map[reflect.Type]*UnionCase[T]
	byName      map[string]*UnionCase[T]
	contentType string
}

func newUnion[T any](function string, cases []UnionCase[T]) union[T] {
	if of := reflect.TypeFor[T](); of.Kind() != reflect.Interface {
		panic(fmt.Sprintf("codec: %s: %v is no interface", function, of))
	}
	if len(cases) == 0 {
		panic(fmt.Sprintf("codec: %s: there are no cases", function))
	}
	u := union[T]{make(map[reflect.Type]*UnionCase[T]), make(map[string]*UnionCase[T]), ""}
	for i := range cases {
		c := &cases[i]
		if u.byName[string(c.name)] != nil {
			panic(fmt.Sprintf("codec: %s: two cases have the name %q", function, c.name))
		}
		u.byName[string(c.name)] = c
		if u.byType[c.of] == nil { // the first name of a type is written
			u.byType[c.of] = c
		}
		switch t := c.codec.Format().ContentType; {
		case i == 0:
			u.contentType = t
		case t != u.contentType:
			u.contentType = "application/octet-stream"
		}
	}
	return u
}

// of returns the case of a value.
func (u *union[T]) of(v T) (*UnionCase[T], error) {
	of := reflect.TypeOf(v)
	if c := u.byType[of]; c != nil {
		return c, nil
	}
	if of == nil {
		return nil, fmt.Errorf("codec: union: the value is nil")
	}
	return nil, fmt.Errorf("codec: union: the type %v has no case", of)
}

// named returns the case with a name.
func (u *union[T]) named(name []byte) (*UnionCase[T], error) {
	if c := u.byName[string(name)]; c != nil {
		return c, nil
	}
	return nil, &UnknownCaseError{string(name)}
}

type unionCodec[T any] struct {
	union[T]
	header string
}

func (c *unionCodec[T]) Format() Format { return Format{ContentType: c.contentType} }

func (c *unionCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	one, err := c.of(v)
	if err != nil {
		return dst, err
	}
	return one.codec.appendEncode(dst, v)
}

func (c *unionCodec[T]) AppendHeaders(h backend.Headers, v T) (backend.Headers, error) {
	one, err := c.of(v)
	if err != nil {
		return h, err
	}
	// The name comes first: a reader takes the first header of that name.
	out, err := one.codec.appendHeaders(append(h, backend.Header{Name: c.header, Value: one.name}), v)
	if err != nil {
		return h, err
	}
	return out, nil
}

func (c *unionCodec[T]) Decode(src []byte) (T, error) { return c.DecodeRecord(src, nil) }

func (c *unionCodec[T]) DecodeRecord(src []byte, h backend.Headers) (t T, err error) {
	name, ok := h.Lookup(c.header)
	if !ok {
		return t, fmt.Errorf("codec: union: the record has no header %q that names its type", c.header)
	}
	one, err := c.named(name)
	if err != nil {
		return t, err
	}
	return one.codec.decode(src, h)
}
