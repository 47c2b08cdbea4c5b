package codec_test

import (
	"reflect"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
)

// A function that returns memory of the value instead of appending is tolerated while dst is empty. The memory must not
// reach the caller of the codec, which appends to it and uses it again.
func TestFuncNeverReturnsMemoryOfTheValue(t *testing.T) {
	raw := codec.Func("text/plain", func(_ []byte, v []byte) ([]byte, error) { return v, nil }, nil)
	mine := append(make([]byte, 0, 64), "mine"...)
	for _, dst := range [][]byte{nil, make([]byte, 0, 2), make([]byte, 0, 64)} {
		out, err := raw.AppendEncode(dst, mine)
		if err != nil || string(out) != "mine" {
			t.Fatalf("%q, %v", out, err)
		}
		clear(out)
		if string(mine) != "mine" {
			t.Fatalf("the caller's value is %q after its encoding was overwritten", mine)
		}
	}
}

// inline keeps what it was decoded from in a buffer of its own, and a slice of that.
type inline struct {
	buf  [32]byte
	text []byte
}

func (v *inline) UnmarshalJSON(b []byte) error {
	v.text = v.buf[:copy(v.buf[:], b)]
	return nil
}

func (v inline) MarshalJSON() ([]byte, error) { return v.text, nil }

func (v inline) Equal(w inline) bool { return string(v.text) == string(w.text) }

type holder struct {
	Name  string    `json:"name"`
	Inner [1]inline `json:"inner"`
}

func (v holder) Equal(w holder) bool { return v.Name == w.Name && v.Inner[0].Equal(w.Inner[0]) }

// A decoded value may point into itself. It must not point into memory that the codec clears for the next record.
func TestJSONValueThatPointsIntoItselfStaysWhole(t *testing.T) {
	text := func(s string) inline { return inline{text: []byte(s)} }
	codectest.Run(t, codec.JSON[inline](), text(`"first"`), text(`2`))
	codectest.Run(t, codec.JSON[holder](), holder{"a", [1]inline{text(`"first"`)}}, holder{"b", [1]inline{text(`2`)}})
}

// graph is a type whose values own all kinds of memory that a decoder could use again by mistake.
type graph struct {
	Tags   []string       `json:"tags"`
	Counts map[string]int `json:"counts"`
	Any    any            `json:"any"`
	Next   *graph         `json:"next"`
	Number int            `json:"number"`
}

func TestADecodedValueIsNotChangedByTheNext(t *testing.T) {
	c := codec.JSON[graph]()
	decode := func(text string, refused bool) graph {
		t.Helper()
		v, err := c.Decode([]byte(text))
		if (err != nil) != refused {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	const one = `{"tags":["a","b"],"counts":{"x":1},"any":{"k":["v"]},"next":{"tags":["c"],"number":7},"number":1}`
	const two = `{"tags":["z"],"counts":{"y":2},"any":{"k":[]},"next":{"tags":["q"]},"number":2}`
	first, want := decode(one, false), decode(one, false)
	decode(two, false)
	decode(two[:len(two)-1], true)
	if !reflect.DeepEqual(first, want) {
		t.Errorf("the first value became %+v", first)
	}
	if empty := decode(`{}`, false); !reflect.DeepEqual(empty, graph{}) {
		t.Errorf("a value without members has %+v of the value before", empty)
	}
	if broken := decode(`{"number":3,`, true); !reflect.DeepEqual(broken, graph{}) {
		t.Errorf("a refused value is %+v, want zero", broken)
	}
	if empty := decode(`{}`, false); !reflect.DeepEqual(empty, graph{}) {
		t.Errorf("a value without members has %+v of the refused value before", empty)
	}
}
