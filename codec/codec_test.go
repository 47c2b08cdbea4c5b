package codec_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
)

func TestConformance(t *testing.T) {
	t.Run("JSON struct", func(t *testing.T) {
		codectest.Run(t, codec.JSON[order](), sampleOrder, order{SKUs: []string{}}, order{ID: "<&>", SKUs: []string{}})
	})
	t.Run("JSON pointer", func(t *testing.T) { codectest.Run(t, codec.JSON[*order](), &sampleOrder, nil) })
	t.Run("JSON any", func(t *testing.T) {
		codectest.Run[any](t, codec.JSON[any](), map[string]any{"a": []any{1.5, "b", nil}, "c": false}, nil, "", 0.0)
	})
	t.Run("JSON map", func(t *testing.T) {
		codectest.Run(t, codec.JSON[map[string][]byte](), map[string][]byte{"a": {1}, "b": {}, "": {0xff}}, map[string][]byte{})
	})
	t.Run("Bytes", func(t *testing.T) {
		codectest.Run(t, codec.Bytes(), []byte("a"), []byte{}, []byte{0xff, 0, '\n'}, bytes.Repeat([]byte("ab"), 50_000))
	})
	t.Run("String", func(t *testing.T) {
		codectest.Run(t, codec.String(), "a", "", "zwölf\x00\n", strings.Repeat("ab", 50_000))
		codectest.Refuses(t, codec.String(), "\xff", "a\xc3")
	})
	t.Run("Func", func(t *testing.T) {
		codectest.Run(t, codec.Func("text/csv", csvEncode, csvDecode), []string{"a", "b"}, []string{""})
		codectest.Refuses(t, codec.Func("text/csv", csvEncode, csvDecode), []string{"a,b"})
	})
	t.Run("Func write-only", func(t *testing.T) {
		codectest.Run(t, codec.Func("text/csv", csvEncode, nil), []string{"a", "b"}, []string{""})
	})
	t.Run("Validate", func(t *testing.T) {
		c := codec.Validate(codec.JSON[order](), checkOrder)
		codectest.Run(t, c, sampleOrder)
		codectest.Refuses(t, c, order{})
	})
	codectest.Refuses[any](t, codec.JSON[any](), make(chan int), map[string]any{"a": func() {}}, "\xff")
}

var errComma = errors.New("a field has a comma in it")

func csvEncode(dst []byte, v []string) ([]byte, error) {
	for i, f := range v {
		if strings.Contains(f, ",") {
			return []byte("half"), errComma // what comes beside an error must not reach the caller
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f...)
	}
	return dst, nil
}

func csvDecode(src []byte) ([]string, error) { return strings.Split(string(src), ","), nil }

var errNoCustomer = errors.New("no customer")

func checkOrder(o order) error {
	if o.Customer == "" {
		return errNoCustomer
	}
	return nil
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		got  codec.Format
		want string
	}{
		{codec.JSON[int]().Format(), "application/json"},
		{codec.Bytes().Format(), "application/octet-stream"},
		{codec.String().Format(), "text/plain; charset=utf-8"},
		{codec.Func[int]("text/csv", nil, nil).Format(), "text/csv"},
		{codec.Validate(codec.JSON[int](), nil).Format(), "application/json"},
	} {
		if c.got.ContentType != c.want || c.got.ContentEncoding != "" || c.got.Schema != nil {
			t.Errorf("got %+v, want only %q", c.got, c.want)
		}
		if f := c.got; f.ContentType != c.want {
			t.Errorf("as a backend.Format it is %+v", f)
		}
	}
}

// Bytes lends the record itself, and no more than the record.
func TestBytesAliases(t *testing.T) {
	batch := []byte("firstsecond")
	v, err := codec.Bytes().Decode(batch[:5])
	if err != nil || string(v) != "first" || &v[0] != &batch[0] {
		t.Fatalf("got %q, %v; want the record itself", v, err)
	}
	if _ = append(v, '!'); string(batch) != "firstsecond" {
		t.Errorf("appending to a record wrote into the next one: %q", batch)
	}
	in := []byte("value")
	out, err := codec.Bytes().AppendEncode(nil, in)
	if err != nil || &out[0] == &in[0] {
		t.Errorf("the encoding aliases the value (%v)", err)
	}
}

func TestFuncMissingHalf(t *testing.T) {
	_, err := codec.Func("text/csv", csvEncode, nil).Decode([]byte("a"))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "only encodes") {
		t.Errorf("decoding with a write-only codec: %v", err)
	}
	dst := []byte("kept")
	out, err := codec.Func("text/csv", nil, csvDecode).AppendEncode(dst, nil)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "only decodes") || string(out) != "kept" {
		t.Errorf("encoding with a read-only codec: %q, %v", out, err)
	}
}

func TestFuncErrors(t *testing.T) {
	c := codec.Func("text/csv", csvEncode, func(src []byte) ([]string, error) { return []string{"half"}, errComma })
	dst := []byte("kept")
	out, err := c.AppendEncode(dst, []string{","})
	if !errors.Is(err, errComma) || string(out) != "kept" {
		t.Errorf("got %q, %v; want dst and the cause", out, err)
	}
	if v, err := c.Decode(nil); !errors.Is(err, errComma) || v != nil {
		t.Errorf("got %q, %v; want nothing and the cause", v, err)
	}
}

// The function everybody writes first is `return json.Marshal(v)`, which forgets dst.
func TestFuncThatDoesNotAppend(t *testing.T) {
	c := codec.Func("application/json", func(_ []byte, v any) ([]byte, error) { return stdjson.Marshal(v) }, nil)
	if out, err := c.AppendEncode(nil, 12345); err != nil || string(out) != "12345" {
		t.Fatalf("with nothing to lose: %s, %v", out, err)
	}
	for _, dst := range []string{"a longer prefix", "short"} {
		if out, err := c.AppendEncode([]byte(dst), 12345); err == nil || string(out) != dst {
			t.Errorf("got %q, %v; want an error and %q", out, err, dst)
		}
	}
	// Growing moves the bytes, which is still appending.
	grow := codec.Func("", func(dst []byte, v string) ([]byte, error) { return append(bytes.Clone(dst), v...), nil }, nil)
	if out, err := grow.AppendEncode([]byte("a"), "b"); err != nil || string(out) != "ab" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestValidate(t *testing.T) {
	c := codec.Validate(codec.JSON[order](), checkOrder)
	for name, call := range map[string]func() error{
		"encode": func() error { _, err := c.AppendEncode(nil, order{ID: "x"}); return err },
		"decode": func() error { _, err := c.Decode([]byte(`{"id":"x"}`)); return err },
	} {
		err := call()
		var invalid *codec.InvalidError
		if !errors.As(err, &invalid) || !errors.Is(err, errNoCustomer) || invalid.Err != errNoCustomer {
			t.Errorf("%s: %v is not an InvalidError around the cause", name, err)
		}
		if want := "codec: invalid value: no customer"; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	// A record that cannot be decoded at all is no invalid value.
	var invalid *codec.InvalidError
	if _, err := c.Decode([]byte(`{`)); err == nil || errors.As(err, &invalid) {
		t.Errorf("a broken record: %v", err)
	}
}
