package codec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/compress"
)

var errVersion = errors.New("unknown version")

// versioned writes version 2, and reads version 1, in which texts are in capitals.
func versioned() codec.Codec[string] {
	old := codec.Func("text/plain", nil, func(src []byte) (string, error) { return strings.ToLower(string(src)), nil })
	return codec.WithHeaders(codec.String(),
		func(h backend.Headers, _ string) backend.Headers {
			return append(h, backend.Header{Name: "version", Value: []byte("2")})
		},
		func(h backend.Headers) (codec.Codec[string], error) {
			switch v, ok := h.Lookup("version"); {
			case !ok:
				return old, nil
			case string(v) == "2":
				return nil, nil
			}
			return nil, errVersion
		})
}

func TestTheCodecIsChosenByTheHeadersUnderAnyDecorator(t *testing.T) {
	never := func(string) error { return nil }
	for name, c := range map[string]codec.Codec[string]{
		"plain":                versioned(),
		"validated":            codec.Validate(versioned(), never),
		"compressed":           compress.Zstd(versioned(), 1<<20),
		"validated, in frames": codec.Validate(compress.Zstd(versioned(), 1<<20), never),
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("a text that repeats ", 50)
			b, err := c.AppendEncode(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			h, err := codec.AppendHeaders(c, nil, text)
			if v, _ := h.Lookup("version"); err != nil || string(v) != "2" {
				t.Fatalf("headers %v, %v", h, err)
			}
			if got, err := codec.DecodeRecord(c, b, h); err != nil || got != text {
				t.Errorf("version 2: %q, %v", got, err)
			}
			if got, err := codec.DecodeRecord(c, []byte("OLD"), nil); err != nil || got != "old" {
				t.Errorf("version 1: %q, %v", got, err)
			}
			other := backend.Headers{{Name: "version", Value: []byte("3")}}
			if _, err := codec.DecodeRecord(c, b, other); !errors.Is(err, errVersion) {
				t.Errorf("version 3: %v", err)
			}
		})
	}
}

func TestACodecWithoutHeadersIgnoresThem(t *testing.T) {
	h, err := codec.AppendHeaders(codec.String(), nil, "a")
	if err != nil || h != nil {
		t.Errorf("headers %v, %v", h, err)
	}
	got, err := codec.DecodeRecord(codec.String(), []byte("a"), backend.Headers{{Name: "x"}})
	if err != nil || got != "a" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCodecWithHeadersKeepsTheContract(t *testing.T) {
	c := codec.WithHeaders(codec.String(), nil, nil)
	codectest.Run(t, c, "", "a", "text")
}

func TestJSONOptions(t *testing.T) {
	type order struct {
		ID int `json:"id"`
	}
	for name, c := range map[string]struct {
		codec codec.Codec[order]
		src   string
		want  int // -1: refused
	}{
		"unknown member":                   {codec.JSON[order](), `{"id":1,"x":2}`, 1},
		"unknown member, refused":          {codec.JSON[order](codec.RejectUnknown()), `{"id":1,"x":2}`, -1},
		"other case":                       {codec.JSON[order](), `{"ID":1}`, 0},
		"other case, ignored":              {codec.JSON[order](codec.IgnoreCase()), `{"ID":1}`, 1},
		"both":                             {codec.JSON[order](codec.IgnoreCase(), codec.RejectUnknown()), `{"Id":1}`, 1},
		"the other defaults stay the same": {codec.JSON[order](codec.IgnoreCase()), `{"id":1,"id":2}`, -1},
	} {
		got, err := c.codec.Decode([]byte(c.src))
		if (err != nil) != (c.want == -1) || err == nil && got.ID != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
