package compress_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const fuzzLimit = 64 << 10

// fuzzRecords feeds foreign bytes to a codec. Whatever they are, it must not panic, write to them, or return more than
// the limit; what decodes must agree with another decoder, and come back when it is encoded again.
func fuzzRecords(f *testing.F, name string, reference func([]byte) ([]byte, error)) {
	var c codec.Codec[[]byte]
	magics := map[string][]string{"S2": {formats[2].magic, formats[3].magic}}[name]
	for _, format := range formats {
		if format.name == name {
			c = format.make(fuzzLimit)
			magic := format.magic
			if magics == nil {
				magics = []string{magic}
			}
			for _, v := range [][]byte{nil, []byte("a"), text(200), noise(50), append([]byte(magic), noise(300)...), make([]byte, 10_000)} {
				record := mustEncode(f, c, v)
				f.Add(record)
				f.Add(append(bytes.Clone(record), record...))
				f.Add(record[:len(record)/2])
			}
			f.Add(mustEncode(f, format.make(10*fuzzLimit), make([]byte, 2*fuzzLimit)))
			f.Add([]byte(magic))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		got, err := c.Decode(src)
		if !bytes.Equal(src, before) {
			t.Fatal("decoding wrote to src")
		}
		framed := slices.ContainsFunc(magics, func(m string) bool { return bytes.HasPrefix(src, []byte(m)) })
		switch {
		case !framed && (err != nil || !bytes.Equal(got, src)):
			t.Fatalf("a plain record decodes to %s, %v", abridged(got), err)
		case framed && err == nil:
			if len(got) > fuzzLimit {
				t.Fatalf("%d bytes came through a limit of %d", len(got), fuzzLimit)
			}
			if want, err := reference(src); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %s, another decoder says %s, %v", abridged(got), abridged(want), err)
			}
		case framed:
			var size *compress.SizeError
			// Other decoders do not know the chunk that says how long the value is.
			length := strings.Contains(err.Error(), "cut short") || strings.Contains(err.Error(), "the length of the value")
			if want, wantErr := reference(src); wantErr == nil && len(want) <= fuzzLimit && !errors.As(err, &size) && !length {
				t.Fatalf("refused with %v, another decoder says %s", err, abridged(want))
			}
			return
		}
		if len(got) > fuzzLimit {
			return
		}
		again, err := c.AppendEncode(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := c.Decode(again); err != nil || !bytes.Equal(back, got) {
			t.Fatalf("%s comes back as %s, %v", abridged(got), abridged(back), err)
		}
	})
}

func FuzzZstd(f *testing.F) {
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x88\x03\x00\x10\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00"))
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	f.Add([]byte("(\xb5/\xfd\x10XC0\x010"))
	buf := make([]byte, 0, 1<<20)
	fuzzRecords(f, "Zstd", func(b []byte) ([]byte, error) { return d.DecodeAll(b, buf) })
}

func FuzzGzip(f *testing.F) {
	f.Add([]byte("\x1f\x8b\b\x00000000\xec\xc0\x01\r\x00\x00\x00\xc2 \xfb\xa7\xb6\xc7\a\x03\x00\x00\x00\x00\x00\x00\x00\x00 \x80\x0f0.\xca;M\x10'\x00\x00\x1f\x8b\b7000000\x00\x00"))
	fuzzRecords(f, "Gzip", func(b []byte) ([]byte, error) {
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(r, 1<<20))
	})
}

func FuzzS2(f *testing.F) {
	f.Add([]byte("\xff\x06\x00\x00S2sTwO\x00\x0a\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f\x00"))
	f.Add([]byte("\xff\x06\x00\x00sNaPpY\xfe\x02\x00\x00ab\x99\x00\x00\x00\x01\x05\x00\x00\x00\x00\x00\x00a"))
	f.Add([]byte("\xff\x06\x00\x00S2sTwO\x00\x0e\x00\x000000\x00000000000"))
	fuzzRecords(f, "S2", func(b []byte) ([]byte, error) {
		return io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(b)), 1<<20))
	})
}
