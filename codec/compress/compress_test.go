package compress_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
	"github.com/headrace/headrace/codec/compress"
)

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		values := [][]byte{{}, {0}, text(100), noise(100), text(150_000), noise(70_000), []byte(f.magic), []byte(f.magic + "more")}
		codectest.Run(t, f.make(1<<20), values...)
		codectest.Refuses(t, f.make(100), text(101), noise(101))
		t.Run("MinSize", func(t *testing.T) { codectest.Run(t, f.make(1<<20, compress.MinSize(1000)), values...) })
		t.Run("twice", func(t *testing.T) {
			codectest.Run(t, compress.Zstd(f.make(1<<20), 1<<20), []byte("a"), text(5000), []byte(f.magic))
			codectest.Run(t, compress.Gzip(f.make(1<<20), 1<<20), []byte("a"), text(5000), []byte(f.magic))
		})
	})
	t.Run("JSON", func(t *testing.T) {
		codectest.Run(t, compress.Zstd(codec.JSON[event](), 1<<20), sampleEvent(1), event{}, event{Detail: string(text(10_000))})
		codectest.Refuses(t, compress.Zstd(codec.JSON[any](), 1<<20), any(make(chan int)))
	})
	t.Run("write-only", func(t *testing.T) {
		c := codec.Func("text/plain", func(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }, nil)
		codectest.Run(t, compress.S2(c, 1<<20), "a", string(text(1000)))
	})
}

func TestFormat(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		if got := f.make(1).Format(); got.ContentEncoding != f.encode || got.ContentType != "application/octet-stream" {
			t.Errorf("got %+v", got)
		}
	})
	nested := compress.Zstd(compress.Gzip(compress.S2(codec.JSON[int](), 1), 1), 1)
	if got := nested.Format(); got.ContentEncoding != "s2, gzip, zstd" || got.ContentType != "application/json" {
		t.Errorf("got %+v; encodings come in the order in which they were applied", got)
	}
	withSchema := compress.Zstd[int](schemaCodec{}, 1).Format()
	if string(withSchema.Schema) != "schema" {
		t.Error("the schema of the codec within is lost")
	}
}

type schemaCodec struct{ codec.Codec[int] }

func (schemaCodec) Format() codec.Format { return codec.Format{Schema: []byte("schema")} }

// Whichever is smaller is written, and all that was ever written is read by all codecs of the format.
func TestPlainAndCompressedSideBySide(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		compressing, sparing := f.make(1<<20), f.make(1<<20, compress.MinSize(5000))
		for _, v := range []struct {
			name                    string
			value                   []byte
			compressing, sparingToo bool // is written as a frame
		}{
			{"empty", nil, false, false},
			{"one byte", []byte("a"), false, false},
			{"text below MinSize", text(4999), true, false},
			{"text of MinSize", text(5000), true, true},
			{"noise", noise(20_000), false, false},
			{"magic alone", []byte(f.magic), true, true},
			{"magic and noise", append([]byte(f.magic), noise(3000)...), true, true},
			{"a frame", mustEncode(t, compressing, text(1000)), true, true},
			{"half the magic", []byte(f.magic[:len(f.magic)-1]), false, false},
		} {
			for _, w := range []struct {
				c      codec.Codec[[]byte]
				framed bool
			}{{compressing, v.compressing}, {sparing, v.sparingToo}} {
				b := mustEncode(t, w.c, v.value)
				if framed := strings.HasPrefix(string(b), f.magic); framed != w.framed {
					t.Errorf("%s: written as a frame: %v, want %v", v.name, framed, w.framed)
				}
				if !w.framed && !bytes.Equal(b, v.value) {
					t.Errorf("%s: neither a frame nor the value", v.name)
				}
				for _, r := range []codec.Codec[[]byte]{compressing, sparing, f.make(20_000)} {
					got, err := r.Decode(b)
					wantBytes(t, v.name, got, err, v.value)
				}
			}
		}
	})
}

// A plain record is handed on as it is: no copy, and no room behind it.
func TestPlainIsNotCopied(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		batch := []byte("plainnext")
		v, err := f.make(1).Decode(batch[:5]) // a plain record may be larger than maxDecoded: it takes no memory
		if err != nil || &v[0] != &batch[0] || cap(v) != 5 {
			t.Errorf("got %q with capacity %d, %v", v, cap(v), err)
		}
	})
}

func TestEncodeLimit(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		c := f.make(1000)
		for _, v := range [][]byte{text(1000), noise(1000), append([]byte(f.magic), noise(900)...)} {
			got, err := c.Decode(mustEncode(t, c, v))
			wantBytes(t, "at the limit", got, err, v)
		}
		dst := []byte("kept")
		out, err := c.AppendEncode(dst, text(1001))
		var size *compress.SizeError
		if !errors.As(err, &size) || size.Size != 1001 || size.Limit != 1000 || string(out) != "kept" {
			t.Errorf("over the limit: %q, %v", out, err)
		}
		want := "compress: " + f.encode + ": encode: 1001 bytes or more exceed the limit of 1000 for a decompressed value"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
		// No limit to speak of must not overflow anything.
		got, err := f.make(math.MaxInt).Decode(mustEncode(t, f.make(math.MaxInt), text(5000)))
		wantBytes(t, "without a limit", got, err, text(5000))
	})
}

func TestInnerErrorsPass(t *testing.T) {
	inner := errors.New("inner")
	c := compress.Zstd(codec.Func("", func(dst []byte, _ string) ([]byte, error) { return append(dst, "half"...), inner },
		func([]byte) (string, error) { return "", inner }), 100)
	dst := []byte("kept")
	if out, err := c.AppendEncode(dst, "v"); !errors.Is(err, inner) || string(out) != "kept" {
		t.Errorf("encode: %q, %v", out, err)
	}
	for _, src := range [][]byte{[]byte("plain"), mustEncode(t, compress.Zstd(codec.Bytes(), 100), text(90))} {
		if _, err := c.Decode(src); !errors.Is(err, inner) {
			t.Errorf("decode: %v", err)
		}
	}
}

func TestLevels(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		size := map[int]int{}
		levels := []int{1, 2, 3, 6, 9, 10, 22}
		var v []byte
		for i := range 200 {
			v = append(v, mustEncode(t, codec.JSON[event](), sampleEvent(i))...)
		}
		var records [][]byte
		for _, n := range levels {
			if n <= f.levels {
				b := mustEncode(t, f.make(1<<20, compress.Level(n)), v)
				records, size[n] = append(records, b), len(b)
			}
		}
		for _, b := range records {
			got, err := f.make(1 << 20).Decode(b)
			wantBytes(t, "another level", got, err, v)
		}
		if size[f.levels] == size[1] {
			t.Errorf("levels 1 and %d both make %d bytes: the level is not used", f.levels, size[1])
		}
	})
}

func TestConstructorPanics(t *testing.T) {
	dictionary := trained(t)
	for _, f := range formats {
		mustPanic(t, f.name+": maxDecoded is 0", func() { f.make(0) })
		mustPanic(t, f.name+": maxDecoded is -1", func() { f.make(-1) })
		mustPanic(t, f.name+": level 0", func() { f.make(1, compress.Level(0)) })
		mustPanic(t, f.name+": level ", func() { f.make(1, compress.Level(f.levels+1)) })
		mustPanic(t, f.name+": MinSize is -1", func() { f.make(1, compress.MinSize(-1)) })
		if f.name != "Zstd" {
			mustPanic(t, f.name+" takes no dictionary", func() { f.make(1, compress.Dictionary(dictionary)) })
		}
	}
	zstd := formats[0].make
	mustPanic(t, "Zstd: dictionary 0", func() { zstd(1, compress.Dictionary([]byte("no dictionary"))) })
	mustPanic(t, "Zstd: dictionary 1", func() { zstd(1, compress.Dictionary(dictionary, nil)) })
	mustPanic(t, "Zstd: two dictionaries have the id", func() { zstd(1, compress.Dictionary(dictionary, dictionary)) })
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "compress: "+want) {
			t.Errorf("panics with %q, want %q", s, want)
		}
	}()
	f()
}

// lender breaks the contract: for an empty dst it returns the value itself.
type lender struct{ codec.Codec[[]byte] }

func (l lender) AppendEncode(dst, v []byte) ([]byte, error) {
	if len(dst) == 0 {
		return v, nil
	}
	return l.Codec.AppendEncode(dst, v)
}

// A frame is smaller than the plain value and would fit where that lies, which may be in the caller's hands.
func TestTheValueIsNotOverwrittenByItsFrame(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		for _, dst := range [][]byte{nil, make([]byte, 0, 10), make([]byte, 0, 4096)} {
			c := f.wrap(lender{codec.Bytes()}, 1<<20)
			mine := text(1000)
			frame, err := c.AppendEncode(dst, mine)
			if err != nil || len(frame) >= len(mine) {
				t.Fatalf("%d bytes, %v", len(frame), err)
			}
			clear(frame[:cap(frame)])
			wantBytes(t, "the value after its encoding was overwritten", mine, nil, text(1000))
		}
	})
}
