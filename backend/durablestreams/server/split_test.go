package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

func split(body string) (string, error) {
	buf := append(make([]byte, 0, len(body)+1), body...)
	stored, err := server.SplitJSON(buf)
	return string(stored), err
}

// The bytes of numbers, keys and strings stay; only white space goes.
func TestSplit(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                            `{},`,
		`1`:                             `1,`,
		` 1.0 `:                         `1.0,`,
		`[]`:                            ``,
		" [ ] \n":                       ``,
		`[1,2]`:                         `1,2,`,
		`[[1, 2], [3,4]]`:               `[1,2],[3,4],`,
		`[[[1,2,3]]]`:                   `[[1,2,3]],`,
		`[[]]`:                          `[],`,
		`[{}, null , true,false]`:       `{},null,true,false,`,
		`12345678901234567890`:          `12345678901234567890,`,
		`{"b":1,"a":2, "a" : -0.0e+5 }`: `{"b":1,"a":2,"a":-0.0e+5},`,
		"{\n  \"k\" : \"<é> , ] \\u00e9\\\"\"\r\n}": `{"k":"<é> , ] \u00e9\""},`,
		`["12345678","123456789 \\",""]`:            `"12345678","123456789 \\","",`,
	} {
		got, err := split(body)
		if err != nil || got != want {
			t.Errorf("%q is stored as %q, %v; want %q", body, got, err, want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	deep := strings.Repeat("[", 10_003)
	for _, body := range []string{
		``, ` `, `[`, `]`, `{`, `[1`, `[1,`, `[1,]`, `[,1]`, `1 2`, `[1] 2`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1]`, `[1}`,
		`01`, `-`, `1.`, `.5`, `1e`, `+1`, `NaN`, `nul`, `truE`, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"a\nb\"", "\"1234567\x1f\"",
		"\"\xff\"", "\"12345678\xc3\"", "\x00", "1\x00", "[1,\x002]", deep, deep + strings.Repeat("]", 10_003), `{"a":1 "b":2}`,
	} {
		if got, err := split(body); !errors.Is(err, server.ErrRequest) {
			t.Errorf("%.40q is stored as %.40q, %v", body, got, err)
		}
	}
}

func TestSplitAllocatesNothing(t *testing.T) {
	body := []byte(`[{"a":[1,2,{"b":"c"}]},{"a":[1,2,{"b":"c"}]}]`)
	buf := make([]byte, len(body), len(body)+1)
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, body)
		if _, err := server.SplitJSON(buf); err != nil {
			t.Fatal(err)
		}
	}); n > 1 { // the stack of open values, once a body
		t.Errorf("%v allocations", n)
	}
}

// FuzzSplit compares with encoding/json: what is accepted, and that the stored messages are the values sent.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`[1,{"a":[]}]`, ` {"a" : "\u00ff"}`, `[[],[[]]]`, `"12345678\"9"`, `-0.5e-7`, `[1,,2]`, "\"\xff\"", `{"a":1]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := split(string(body))
		if valid := json.Valid(body) && utf8.Valid(body); valid != (err == nil) {
			t.Fatalf("%q: %v, but encoding/json says %v", body, err, valid)
		}
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			t.Fatal(err)
		}
		want := compact.String()
		if want[0] != '[' {
			want = "[" + want + "]"
		}
		if all := "[" + strings.TrimSuffix(got, ",") + "]"; all != want {
			t.Fatalf("%q: stored %q, want %q", body, all, want)
		}
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(want), &list); err != nil {
			t.Fatal(err)
		}
		if n, ok := server.Messages([]byte(got), int64(len(list))); !ok || n != len(got) {
			t.Fatalf("%d messages of %q end at %d, %v", len(list), got, n, ok)
		}
		if _, ok := server.Messages([]byte(got), int64(len(list))+1); ok {
			t.Fatalf("%q: more than %d messages", got, len(list))
		}
	})
}
