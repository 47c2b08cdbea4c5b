package codec_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/headrace/headrace/codec"
)

// Whatever JSON takes it writes again, and takes again as the same value and the same bytes.
func FuzzJSONDecode(f *testing.F) {
	for _, s := range []string{
		`{"id":"o-1","customer":"c","cents":12,"rush":true,"placed":"2026-03-04T05:06:07.089Z","skus":["s"]}`,
		`{}`, `null`, ``, ` {"id":"\u0000\ud83d\ude00","skus":null} `, `{"id":"a","id":"b"}`, `{"cents":1e3}`,
		`{"placed":"0000-01-01T00:00:00Z"}`, "{\"id\":\"\xff\"}", `{"skus":[[[[`, `{"x":{"y":[1,2,{"z":null}]}}`,
	} {
		f.Add([]byte(s))
	}
	typed, loose := codec.JSON[order](), codec.JSON[any]()
	f.Fuzz(func(t *testing.T, src []byte) {
		again(t, typed, src)
		again(t, loose, src)
	})
}

func again[T any](t *testing.T, c codec.Codec[T], src []byte) {
	before := bytes.Clone(src)
	v, err := c.Decode(src)
	if !bytes.Equal(src, before) {
		t.Fatal("decoding wrote to src")
	}
	if err != nil {
		return
	}
	first, err := c.AppendEncode(nil, v)
	if err != nil {
		t.Fatalf("%+v was decoded but does not encode: %v", v, err)
	}
	w, err := c.Decode(first)
	if err != nil {
		t.Fatalf("own output %s does not decode: %v", first, err)
	}
	second, err := c.AppendEncode(nil, w)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%s becomes %s (%v)", first, second, err)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "\xff", "é", "\xed\xa0\x80", "\x00"} {
		f.Add([]byte(s))
	}
	c := codec.String()
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := c.Decode(src)
		if err != nil {
			return
		}
		out, err := c.AppendEncode(nil, v)
		if err != nil || !reflect.DeepEqual(string(out), string(src)) {
			t.Fatalf("%q becomes %q (%v)", src, out, err)
		}
	})
}
