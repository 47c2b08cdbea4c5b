package durablestreams

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
)

var arrays = []string{
	`[]`, ` [ ] `, `[1]`, `[1,2,3]`, `[ 1 , "a" ,{"b":[1,2,{"c":null}]}, [ ] ,[[1]],true ]`, `["\"","\\","\\\"]","],[,"]`,
	`["\u005d\\\\\"", "` + "\u2028" + `"]`, `[1`, `[1,`, `["`, `["\`, `[,]`, `[1,]`, `[}`, `[{]}]`, `{}`, `1`, ``, `[1]x`, `[1][2]`,
}

// splitAll splits b as it would come in pieces of the sizes given, over and over.
func splitAll(b []byte, sizes []byte) (messages []string, whole bool, err error) {
	var s splitter
	var buf []byte
	for i := 0; ; i++ {
		for {
			lo, hi, ok, err := s.next(buf)
			if err != nil {
				return messages, false, err
			}
			if !ok {
				break
			}
			messages = append(messages, string(buf[lo:hi]))
		}
		if len(b) == 0 {
			return messages, s.phase == afterArray, nil
		}
		buf = bytes.Clone(buf[s.from:])
		s.dropped(s.from)
		n := len(b)
		if len(sizes) > 0 {
			n = min(n, 1+int(sizes[i%len(sizes)]))
		}
		buf, b = append(buf, b[:n]...), b[n:]
	}
}

// FuzzSplit compares with encoding/json where that takes the array, and pieces with the whole everywhere.
func FuzzSplit(f *testing.F) {
	for _, a := range arrays {
		f.Add([]byte(a), []byte{0})
		f.Add([]byte(a), []byte{1, 0, 2})
	}
	f.Fuzz(checkSplit)
}

func checkSplit(t *testing.T, b, sizes []byte) {
	t.Helper()
	got, whole, err := splitAll(b, nil)
	pieces, pwhole, perr := splitAll(b, sizes)
	if len(got) != len(pieces) || whole != pwhole || (err == nil) != (perr == nil) {
		t.Fatalf("%q: %q %v %v, and in pieces %q %v %v", b, got, whole, err, pieces, pwhole, perr)
	}
	for i := range got {
		if got[i] != pieces[i] {
			t.Fatalf("%q: message %d is %q, and in pieces %q", b, i, got[i], pieces[i])
		}
	}
	var want []json.RawMessage
	if json.Unmarshal(b, &want) != nil || bytes.HasPrefix(bytes.TrimSpace(b), []byte("null")) {
		return
	}
	if err != nil || !whole || len(got) != len(want) {
		t.Fatalf("%q: %q, whole: %v, %v; want %q", b, got, whole, err, want)
	}
	for i := range want {
		if got[i] != string(want[i]) {
			t.Fatalf("%q: message %d is %q, want %q", b, i, got[i], want[i])
		}
	}
}

// Strings are looked at by words of eight bytes, then otherwise. Whatever a string holds, wherever in a word it lies and
// wherever it is cut, it is found to end where encoding/json says.
func TestSplitStrings(t *testing.T) {
	const longest = 40
	inside := []string{"", `\"`, `\\`, `\\\"`, `[{,]}`, "!#", "\u00a2\ua2a2", `\u0022`}
	for n := range longest {
		for _, s := range inside {
			for _, m := range []int{0, 1, 7, 8, 17} {
				one := `"` + strings.Repeat("x", n) + s + strings.Repeat("y", m) + `"`
				array := []byte(`[` + one + `,{` + one + `:[` + one + `,1]},"]"]`)
				for _, size := range []byte{0, 6, 7, 8, 30} {
					checkSplit(t, array, []byte{size})
				}
				checkSplit(t, array[:len(array)-1], []byte{15})
			}
		}
	}
}

func TestSplitDoesNotAllocate(t *testing.T) {
	b := []byte(`[{"a":"b\"c","d":[1,2,3]},` + `{"a":"b","d":[1,2,3]},17,"x"]`)
	if n := testing.AllocsPerRun(100, func() {
		var s splitter
		for {
			if _, _, ok, err := s.next(b); !ok || err != nil {
				return
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCheckJSON compares with encoding/json: a value is a message when json takes it, it has no white space to lose and is
// UTF-8.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range append(arrays, `-0.5e+7`, `01`, `1.`, `1e`, `-`, `"\u12g4"`, `"\x"`, "\"\x1f\"", `tru`, `nulll`, `{"a":1,"a":2}`, `{"a" :1}`,
		`{"a":1,}`, `{a:1}`, `{"a"}`, `{"":{}}`, "\"\xff\"", "\"\u00e9\"", "1\n", `[[[[[]]]]]`, `1,2`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := json.Valid(b) && utf8.Valid(b)
		if want {
			var compact bytes.Buffer
			want = json.Compact(&compact, b) == nil && bytes.Equal(compact.Bytes(), b)
		}
		if what := checkJSON(b); (what == "") != want {
			t.Fatalf("%q: %q, want valid: %v", b, what, want)
		}
	})
}

func TestCheckJSONNesting(t *testing.T) {
	deep := func(n int) []byte { return append(bytes.Repeat([]byte("["), n), bytes.Repeat([]byte("]"), n)...) }
	if what := checkJSON(deep(nesting)); what != "" {
		t.Error(what)
	}
	if checkJSON(deep(nesting+2)) == "" {
		t.Error("nested too deep, and taken")
	}
}

// FuzzFrame: frames come from anybody who can write to the stream.
func FuzzFrame(f *testing.F) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, r := range []backend.Record{
		{Time: at}, {Value: []byte("value"), Time: at},
		{Value: []byte("v"), Time: at, Headers: backend.Headers{{Name: "n", Value: []byte("w")}, {}}},
	} {
		f.Add(bodyFrames(nil, []backend.Record{r}))
	}
	f.Add([]byte{0x80, 0x00})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 10
		r, n, err := nextFrame(b, limit)
		if err != nil {
			if n != 0 || !errors.As(err, new(*ProtocolError)) && !errors.Is(err, backend.ErrTooLarge) {
				t.Fatalf("%x: %d, %v", b, n, err)
			}
			return
		}
		if n > len(b) || n > limit+3 {
			t.Fatalf("%x: a frame of %d bytes", b, n)
		}
		if n == 0 || r.Time.IsZero() {
			return
		}
		again := bodyFrames(nil, []backend.Record{r})
		s, m, err := nextFrame(again, limit)
		if err != nil || m != len(again) || !bytes.Equal(s.Value, r.Value) || !s.Time.Equal(r.Time) || len(s.Headers) != len(r.Headers) {
			t.Fatalf("%+v is framed as %x, which is %+v, %v", r, again, s, err)
		}
		for i, h := range r.Headers {
			if s.Headers[i].Name != h.Name || !bytes.Equal(s.Headers[i].Value, h.Value) {
				t.Fatalf("header %d is %q, want %q", i, s.Headers[i], h)
			}
		}
		if size := sizeFrame(&r); size != len(again) {
			t.Fatalf("sizeFrame says %d; it is %d", size, len(again))
		}
	})
}

// FuzzPlace: a place comes from a checkpoint that anybody wrote.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"", "/", "a/0", "a/01", "a/b/7", "a/b/c/7", "-1/0", "now/1", "a/9007199254740992", "a /1", "a/-1", origin + "/5", "a/16+", "a/0+++", "a/5+", "a/+", "a/32++++++++++++++++", "a+/16"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, offset, n, err := parsePlace(backend.Offset(s))
		plain := strings.TrimRight(s, "+")
		marked := int64(len(s) - len(plain))
		if err == nil && string(place(id, offset, n-marked)) != plain {
			t.Fatalf("%q is %q and %d", s, offset, n)
		}
		if err != nil && !errors.Is(err, backend.ErrOutOfRange) {
			t.Fatal(err)
		}
	})
}

func TestBodyOfRecordsOfMixedSizesIsWhole(t *testing.T) {
	var recs []backend.Record
	var want []byte
	for i := range 300 {
		v := bytes.Repeat([]byte{byte('1' + i%9)}, 1+i*i%977)
		recs, want = append(recs, backend.Record{Value: v}), append(append(want, ','), v...)
	}
	want[0] = '['
	if got := bodyJSON(nil, recs); !bytes.Equal(got, append(want, ']')) {
		t.Errorf("%d bytes, want %d", len(got), len(want)+1)
	}
}
