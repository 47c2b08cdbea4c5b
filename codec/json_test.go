package codec_test

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/headrace/headrace/codec"
)

// both runs one value or text through JSON and through encoding/json. T is erased so that a table can mix types.
type both struct {
	name      string
	ours, std func() (string, error)
	wantOurs  string // "error" is any error
	wantStd   string
}

func encodes[T any](name string, v T, wantOurs, wantStd string) both {
	return both{
		name: name,
		ours: func() (string, error) { b, err := codec.JSON[T]().AppendEncode(nil, v); return string(b), err },
		std:  func() (string, error) { b, err := stdjson.Marshal(v); return string(b), err },

		wantOurs: wantOurs, wantStd: wantStd,
	}
}

func decodes[T any](name, text string, wantOurs, wantStd string) both {
	return both{
		name: name,
		ours: func() (string, error) {
			v, err := codec.JSON[T]().Decode([]byte(text))
			return fmt.Sprintf("%+v", v), err
		},
		std: func() (string, error) {
			var v T
			err := stdjson.Unmarshal([]byte(text), &v)
			return fmt.Sprintf("%+v", v), err
		},
		wantOurs: wantOurs, wantStd: wantStd,
	}
}

type shout string

func (s *shout) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strings.ToUpper(string(*s)) + `"`), nil
}

// The sentences of the package page on JSON, one by one.
func TestJSONBesideEncodingJSON(t *testing.T) {
	type named struct {
		ID int `json:"id"`
	}
	type lenient struct {
		ID int `json:"id,case:ignore"`
	}
	type nils struct {
		S []int
		M map[string]int
		B []byte
	}
	type empty struct{}
	type omit struct {
		N int      `json:",omitempty"`
		B bool     `json:",omitempty"`
		E empty    `json:",omitempty"`
		S []int    `json:",omitempty"`
		T string   `json:",omitempty"`
		P *int     `json:",omitempty"`
		Z int      `json:",omitzero"`
		Y [0]int   `json:",omitempty"`
		M struct{} `json:",omitzero"`
	}
	type quoted struct {
		N int `json:",string"`
	}
	type quotedSlice struct {
		//lint:ignore SA5008 what becomes of the mistake is what the test is about
		N []int `json:",string"`
	}
	type quotedBool struct {
		B bool `json:",string"`
	}
	type method struct{ S shout }
	const aTime = "0001-01-01 00:00:00 +0000 UTC"

	for _, c := range []both{
		decodes[named]("case of names", `{"ID":1,"Id":2}`, "{ID:0}", "{ID:2}"),
		decodes[lenient]("case of names, ignored", `{"ID":1}`, "{ID:1}", "{ID:1}"),
		decodes[named]("name twice", `{"id":1,"id":2}`, "error", "{ID:2}"),
		decodes[map[string]int]("name twice in a map", `{"a":1,"a":2}`, "error", "map[a:2]"),
		decodes[string]("invalid UTF-8 in", "\"a\xff\"", "error", "a\ufffd"),
		encodes("invalid UTF-8 out", "a\xff", "error", "\"a\\ufffd\""),
		encodes("nil slice, map and bytes", nils{}, `{"S":[],"M":{},"B":""}`, `{"S":null,"M":null,"B":null}`),
		decodes[nils]("null for slice, map and bytes", `{"S":null,"M":null,"B":null}`, "{S:[] M:map[] B:[]}", "{S:[] M:map[] B:[]}"),
		encodes("omitempty and omitzero", omit{}, `{"N":0,"B":false}`, `{"E":{}}`),
		encodes("markup", "<a>&\u2028\u2029", "\"<a>&\u2028\u2029\"", `"\u003ca\u003e\u0026\u2028\u2029"`),
		encodes("array of bytes", [3]byte{1, 2, 3}, `"AQID"`, `[1,2,3]`),
		decodes[[]byte]("base64 with a line break", `"AQ\nID"`, "error", "[1 2 3]"),
		decodes[[2]int]("array too short", `[1]`, "error", "[1 0]"),
		decodes[[2]int]("array too long", `[1,2,3]`, "error", "[1 2]"),
		encodes("string on a number", quoted{N: 5}, `{"N":"5"}`, `{"N":"5"}`),
		encodes("string on a slice of numbers", quotedSlice{N: []int{5}}, "error", `{"N":[5]}`),
		encodes("string on a bool", quotedBool{}, "error", `{"B":"false"}`),
		encodes("pointer receiver", method{S: "loud"}, `{"S":"LOUD"}`, `{"S":"loud"}`),
		decodes[time.Time]("time with a comma", `"0001-01-01T00:00:00,0Z"`, "error", aTime),
		decodes[time.Time]("hour of one digit", `"0001-01-01T0:00:00Z"`, "error", aTime),
		encodes("json.Number", stdjson.Number("5"), `"5"`, `5`),

		encodes("duration", 1500*time.Millisecond, `1500000000`, `1500000000`),
		decodes[time.Duration]("duration", `1500000000`, "1.5s", "1.5s"),
		encodes("order of maps", map[string]int{"c": 3, "a": 1, "b": 2}, `{"a":1,"b":2,"c":3}`, `{"a":1,"b":2,"c":3}`),
		decodes[named]("unknown member", `{"x":[1],"id":1}`, "{ID:1}", "{ID:1}"),
		decodes[any]("number in an any", `1`, "1", "1"),
		decodes[int]("white space around", " 1\n", "1", "1"),
		decodes[int]("garbage behind", `1 2`, "error", "error"),
		decodes[int]("bracket behind", `1]`, "error", "error"),
		decodes[int]("nothing", ``, "error", "error"),
		decodes[int]("cut short", `{`, "error", "error"),
		encodes("not a number", math.NaN(), "error", "error"),
		encodes("channel", make(chan int), "error", "error"),
		encodes[*named]("nil pointer", nil, "null", "null"),
		encodes[any]("nil interface", nil, "null", "null"),
		decodes[*named]("null for a pointer", `null`, "<nil>", "<nil>"),
		encodes("raw", stdjson.RawMessage(`{"a":1}`), `{"a":1}`, `{"a":1}`),
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, side := range []struct {
				who  string
				run  func() (string, error)
				want string
			}{{"this codec", c.ours, c.wantOurs}, {"encoding/json", c.std, c.wantStd}} {
				got, err := side.run()
				if (err != nil) != (side.want == "error") || (err == nil && got != side.want) {
					t.Errorf("%s: got %s, %v; want %s", side.who, got, err, side.want)
				}
			}
		})
	}
	if v, err := codec.JSON[any]().Decode([]byte(`1`)); err != nil || v != 1.0 {
		t.Errorf("number in an any: %T %v, want a float64", v, err)
	}
}

// A pooled encoder that failed must not leave anything behind: not in dst, not in the next value, not in the next error.
func TestJSONAfterError(t *testing.T) {
	c := codec.JSON[map[string]any]()
	good := map[string]any{"a": "b"}
	bad := map[string]any{"a": []any{1, "\xff"}}
	var first string
	for range 5 {
		for range 3 {
			if b, err := c.AppendEncode([]byte("x"), good); err != nil || string(b) != `x{"a":"b"}` {
				t.Fatalf("got %s, %v", b, err)
			}
		}
		dst := append(make([]byte, 0, 100), "kept"...)
		b, err := c.AppendEncode(dst, bad)
		if err == nil || string(b) != "kept" || &b[0] != &dst[0] {
			t.Fatalf("got %q, %v; want an error and dst as it was", b, err)
		}
		if first == "" {
			first = err.Error()
		}
		if err.Error() != first {
			t.Errorf("the same mistake reads %q and then %q", first, err)
		}
	}
	if !strings.HasPrefix(first, "codec: json: encode: ") || !strings.Contains(first, `"/a/1"`) {
		t.Errorf("error %q does not name the operation and the place", first)
	}
}

type touchy struct{ Panic bool }

func (v *touchy) MarshalJSON() ([]byte, error) {
	if v.Panic {
		panic("boom")
	}
	return []byte(`"calm"`), nil
}

func (v *touchy) UnmarshalJSON(b []byte) error {
	if string(b) == `"boom"` {
		panic("boom")
	}
	return nil
}

// A method of T that panics takes its encoder with it; later values are not affected.
func TestJSONPanicInMethod(t *testing.T) {
	c := codec.JSON[[]touchy]()
	for range 20 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not reach the caller")
				}
			}()
			_, _ = c.AppendEncode(nil, []touchy{{}, {Panic: true}})
		}()
		if b, err := c.AppendEncode(nil, []touchy{{}}); err != nil || string(b) != `["calm"]` {
			t.Fatalf("after a panic: %s, %v", b, err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = c.Decode([]byte(`["boom"]`))
		}()
		if v, err := c.Decode([]byte(`["calm"]`)); err != nil || len(v) != 1 {
			t.Fatalf("after a panic: %v, %v", v, err)
		}
	}
}

type recursive struct{ c codec.Codec[recursive] }

func (v recursive) MarshalJSON() ([]byte, error) {
	if v.c == nil {
		return []byte(`"leaf"`), nil
	}
	return v.c.AppendEncode(nil, recursive{})
}

// A method of T may use the codec that is calling it.
func TestJSONReentrant(t *testing.T) {
	c := codec.JSON[recursive]()
	if b, err := c.AppendEncode(nil, recursive{c: c}); err != nil || string(b) != `"leaf"` {
		t.Fatalf("got %s, %v", b, err)
	}
}

// What the pools hold must not keep values alive. One collection moves pooled memory aside without freeing it, so a
// reference from there would be seen.
func TestJSONRetainsNothing(t *testing.T) {
	type big struct {
		P *[1 << 16]byte `json:"-"`
		N int
	}
	c := codec.JSON[*big]()
	encode := func() weak.Pointer[big] {
		v := &big{P: new([1 << 16]byte), N: 1}
		if _, err := c.AppendEncode(nil, v); err != nil {
			t.Fatal(err)
		}
		return weak.Make(v)
	}
	decode := func() weak.Pointer[big] {
		v, err := c.Decode([]byte(`{"N":1}`))
		if err != nil {
			t.Fatal(err)
		}
		return weak.Make(v)
	}
	for name, call := range map[string]func() weak.Pointer[big]{"encode": encode, "decode": decode} {
		p := make(chan weak.Pointer[big])
		go func() { p <- call() }() // on a stack of its own, gone before the collection
		w := <-p
		runtime.GC()
		if w.Value() != nil {
			t.Errorf("%s: the pool keeps the value alive", name)
		}
	}
}

func TestJSONLargeRecord(t *testing.T) {
	c := codec.JSON[[]string]()
	want := []string{strings.Repeat("x", 3<<20), "y", strings.Repeat("z", 70_000)}
	for range 2 {
		b, err := c.AppendEncode([]byte("-"), want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Decode(b[1:]); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("a large record does not come back: %v", err)
		}
	}
}

// The decoder copies: a caller that breaks the promise not to write to src harms no value.
func TestJSONDecodeCopies(t *testing.T) {
	type value struct {
		S string
		B []byte
		R stdjson.RawMessage
		M map[string]string
	}
	src := []byte(`{"S":"text","B":"AQID","R":[1,2],"M":{"k":"v"}}`)
	got, err := codec.JSON[value]().Decode(src)
	if err != nil {
		t.Fatal(err)
	}
	clear(src)
	want := value{S: "text", B: []byte{1, 2, 3}, R: stdjson.RawMessage("[1,2]"), M: map[string]string{"k": "v"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestJSONDecodeErrorGivesZero(t *testing.T) {
	v, err := codec.JSON[order]().Decode([]byte(`{"id":"half","cents":"no"}`))
	if err == nil || !reflect.ValueOf(v).IsZero() {
		t.Errorf("got %+v, %v; want the zero value and an error", v, err)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		t.Error("a bad record is not an unsupported operation")
	}
}
