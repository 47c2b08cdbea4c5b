package codec_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
)

func TestRawJSONKeepsTheText(t *testing.T) {
	c := codec.RawJSON()
	codectest.Run(t, c, []byte(`{"id": 1, "b": [true, null]}`), []byte(" [1,\n2] "), []byte(`"text"`), []byte("1e400"))
	if f := c.Format(); f.ContentType != "application/json" || f.Schema != nil {
		t.Errorf("the format is %+v", f)
	}
}

func TestRawJSONRefusesWhatIsNotOneJSONText(t *testing.T) {
	c := codec.RawJSON()
	for _, text := range []string{"", " ", "{", `{"a":1}x`, `{"a":1}{"a":2}`, `{"a":1,"a":2}`, "\"\xff\"", "nul", "'a'", "\xef\xbb\xbf1"} {
		codectest.Refuses(t, c, []byte(text))
		if v, err := c.Decode([]byte(text)); err == nil || v != nil || !strings.Contains(err.Error(), "raw json: decode") {
			t.Errorf("%q decodes to %q, %v", text, v, err)
		}
	}
}

// A store that checks records by their schema needs one from codecs of functions, too.
func TestFuncFormatTellsTheWholeFormat(t *testing.T) {
	want := codec.Format{ContentType: "application/x-protobuf", ContentEncoding: "x", Schema: []byte{1, 2}}
	c := codec.FuncFormat(want, csvEncode, csvDecode)
	codectest.Run(t, c, []string{"a", "b"})
	if got := c.Format(); got.ContentType != want.ContentType || got.ContentEncoding != "x" || string(got.Schema) != "\x01\x02" {
		t.Errorf("the format is %+v, want %+v", got, want)
	}
}
