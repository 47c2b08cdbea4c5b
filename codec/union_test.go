package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
)

// shape is a sum type.
type shape interface{ isShape() }

type circle struct {
	Radius int `json:"radius"`
}

type square struct {
	Side int `json:"side"`
}

type label string

func (circle) isShape()  {}
func (*square) isShape() {}
func (label) isShape()   {}

// cases has a value type and a pointer type, both in JSON.
func cases() []codec.UnionCase[shape] {
	return []codec.UnionCase[shape]{
		codec.Case[shape]("circle", codec.JSON[circle]()),
		codec.Case[shape]("square", codec.JSON[*square]()),
		codec.Case[shape]("box", codec.JSON[*square]()), // what squares were called before
	}
}

// labels is a codec of label that is no JSON.
func labels() codec.Codec[label] {
	return codec.Func("text/plain", func(dst []byte, v label) ([]byte, error) {
		if v == "" {
			return dst, errors.New("an empty label")
		}
		return append(dst, v...), nil
	}, func(src []byte) (label, error) { return label(src), nil })
}

func mixed() []codec.UnionCase[shape] {
	return append(cases(), codec.Case[shape]("label", labels()))
}

// inBytes puts the headers of a codec into the bytes, so that the suite can check a codec with headers.
type inBytes[T any] struct{ codec.HeaderCodec[T] }

func (c inBytes[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	h, err := c.AppendHeaders(nil, v)
	if err != nil {
		return dst, err
	}
	out, err := c.HeaderCodec.AppendEncode(append(append(dst, h[0].Value...), 0), v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (c inBytes[T]) Decode(src []byte) (T, error) {
	name, value, _ := bytes.Cut(src, []byte{0})
	return c.DecodeRecord(value[:len(value):len(value)], backend.Headers{{Name: "type", Value: name}})
}

func TestUnionsKeepTheContract(t *testing.T) {
	values := []shape{circle{}, circle{7}, &square{8}}
	t.Run("header", func(t *testing.T) {
		codectest.Run[shape](t, inBytes[shape]{codec.Union("type", mixed()...)}, append(values, label("a"))...)
	})
	t.Run("JSON envelope", func(t *testing.T) { codectest.Run(t, codec.Envelope(cases()...), values...) })
	t.Run("binary envelope", func(t *testing.T) { codectest.Run(t, codec.Envelope(mixed()...), append(values, label("a"))...) })
	for _, c := range []codec.Codec[shape]{codec.Union("type", mixed()...), codec.Envelope(mixed()...)} {
		codectest.Refuses(t, c, nil, shape(label("")))
	}
	codectest.Refuses(t, codec.Envelope(cases()...), nil, shape(label("a"))) // a type without a case
}

func TestBytesOfUnions(t *testing.T) {
	encoded := func(c codec.Codec[shape], v shape) string {
		b, err := c.AppendEncode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	union := codec.Union("type", cases()...)
	h, err := union.AppendHeaders(backend.Headers{{Name: "x"}}, &square{2})
	if err != nil || len(h) != 2 || h[1].Name != "type" || string(h[1].Value) != "square" {
		t.Errorf("headers %v, %v", h, err)
	}
	for _, c := range []struct{ got, want string }{
		{encoded(union, circle{1}), `{"radius":1}`},
		{union.Format().ContentType, "application/json"},
		{codec.Union("type", mixed()...).Format().ContentType, "application/octet-stream"},
		{encoded(codec.Envelope(cases()...), &square{2}), `{"type":"square","value":{"side":2}}`},
		{codec.Envelope(cases()...).Format().ContentType, "application/json"},
		{encoded(codec.Envelope(mixed()...), label("hi")), "\x05labelhi"},
		{codec.Envelope(mixed()...).Format().ContentType, "application/octet-stream"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestNamesOfUnionsAreRead(t *testing.T) {
	named := func(name string) backend.Headers { return backend.Headers{{Name: "type", Value: []byte(name)}} }
	union, envelope, binary := codec.Union("type", cases()...), codec.Envelope(cases()...), codec.Envelope(mixed()...)
	var unknown *codec.UnknownCaseError
	for _, c := range []struct {
		name   string
		decode func() (shape, error)
		want   shape // nil: refused
	}{
		{"by header", func() (shape, error) { return union.DecodeRecord([]byte(`{"radius":3}`), named("circle")) }, circle{3}},
		{"former name", func() (shape, error) { return union.DecodeRecord([]byte(`{"side":3}`), named("box")) }, &square{3}},
		{"the first header counts", func() (shape, error) {
			return union.DecodeRecord([]byte(`{"side":3}`), append(named("square"), named("circle")...))
		}, &square{3}},
		{"no header", func() (shape, error) { return union.DecodeRecord([]byte(`{}`), nil) }, nil},
		{"unknown header", func() (shape, error) { return union.DecodeRecord([]byte(`{}`), named("Circle")) }, nil},
		{"value of another type", func() (shape, error) { return union.DecodeRecord([]byte(`"x"`), named("circle")) }, nil},
		{"members in another order, and more", func() (shape, error) {
			return envelope.Decode([]byte(` {"value": {"radius":3}, "at":1, "type":"circle"} `))
		}, circle{3}},
		{"no type", func() (shape, error) { return envelope.Decode([]byte(`{"value":{}}`)) }, nil},
		{"no value", func() (shape, error) { return envelope.Decode([]byte(`{"type":"circle"}`)) }, nil},
		{"two types", func() (shape, error) { return envelope.Decode([]byte(`{"type":"circle","type":"square","value":{}}`)) }, nil},
		{"no object", func() (shape, error) { return envelope.Decode([]byte(`[]`)) }, nil},
		{"unknown type", func() (shape, error) { return envelope.Decode([]byte(`{"type":"cube","value":{}}`)) }, nil},
		{"binary", func() (shape, error) { return binary.Decode([]byte("\x05labelhi")) }, label("hi")},
		{"binary, former name", func() (shape, error) { return binary.Decode([]byte("\x03box{\"side\":1}")) }, &square{1}},
		{"binary, empty", func() (shape, error) { return binary.Decode(nil) }, nil},
		{"binary, cut in the name", func() (shape, error) { return binary.Decode([]byte("\x05lab")) }, nil},
		{"binary, long name", func() (shape, error) { return binary.Decode(bytes.Repeat([]byte{0xff}, 12)) }, nil},
		{"binary, unknown", func() (shape, error) { return binary.Decode([]byte("\x01x")) }, nil},
	} {
		got, err := c.decode()
		if (err == nil) != (c.want != nil) || err == nil && fmt.Sprintf("%#v", deref(got)) != fmt.Sprintf("%#v", deref(c.want)) {
			t.Errorf("%s: %#v, %v, want %#v", c.name, got, err, c.want)
		}
		if strings.Contains(c.name, "unknown") != errors.As(err, &unknown) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func deref(s shape) any {
	if sq, ok := s.(*square); ok {
		return *sq
	}
	return s
}

// A union keeps the headers of its cases, and goes into decorators.
func TestUnionWithHeadersInside(t *testing.T) {
	versioned := codec.WithHeaders(codec.JSON[circle](),
		func(h backend.Headers, _ circle) backend.Headers {
			return append(h, backend.Header{Name: "version", Value: []byte("2")})
		},
		func(h backend.Headers) (codec.Codec[circle], error) {
			if _, ok := h.Lookup("version"); !ok {
				return nil, errors.New("no version")
			}
			return nil, nil
		})
	c := codec.Validate(codec.Union("type", codec.Case[shape]("circle", versioned)), func(shape) error { return nil })
	h, err := codec.AppendHeaders(c, nil, shape(circle{1}))
	if err != nil || len(h) != 2 {
		t.Fatalf("headers %v, %v", h, err)
	}
	if got, err := codec.DecodeRecord(c, []byte(`{"radius":1}`), h); err != nil || got != (circle{1}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := codec.DecodeRecord(c, []byte(`{"radius":1}`), h[:1]); err == nil {
		t.Error("the codec of the case did not see the headers")
	}
}

func TestWrongUnionsPanic(t *testing.T) {
	one := codec.Case[shape]("circle", codec.JSON[circle]())
	for want, f := range map[string]func(){
		"there are no cases":              func() { codec.Union[shape]("type") },
		"name of the header is empty":     func() { codec.Union("", one) },
		`two cases have the name "circle`: func() { codec.Union("type", one, codec.Case[shape]("circle", codec.JSON[*square]())) },
		"is no interface":                 func() { codec.Envelope(codec.Case[circle]("circle", codec.JSON[circle]())) },
		"does not implement":              func() { codec.Case[shape]("int", codec.JSON[int]()) },
		"is an interface":                 func() { codec.Case[shape]("shape", codec.JSON[shape]()) },
		"name of codec_test.circle":       func() { codec.Case[shape]("", codec.JSON[circle]()) },
		"codec is nil":                    func() { codec.Case[shape, circle]("circle", nil) },
		"compress the union": func() {
			codec.Case[shape]("circle", codec.FuncFormat[circle](codec.Format{ContentEncoding: "zstd"}, nil, nil))
		},
		"not UTF-8": func() { codec.Envelope(codec.Case[shape]("\xff", codec.JSON[circle]())) },
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
					t.Errorf("panic %q, want %q", p, want)
				}
			}()
			f()
		}()
	}
}
