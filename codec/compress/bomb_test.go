package compress_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const bombLimit = 64 << 10

// streamed returns what w, made by open, writes for n zero bytes that come piece by piece, so that no size is announced.
func streamed(t testing.TB, n int, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 64<<10)
	for ; n > 0; n -= len(zeros) {
		if _, err := w.Write(zeros[:min(n, len(zeros))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdStream(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
}

func s2Stream(w io.Writer) (io.WriteCloser, error) {
	return s2.NewWriter(w, s2.WriterConcurrency(1)), nil
}

func gzipStream(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }

// Each of these holds or claims far more than the limit, and costs no more memory than the limit to refuse.
func TestBombs(t *testing.T) {
	const large = 32 << 20
	zstdBomb := mustEncode(t, compress.Zstd(codec.Bytes(), large), make([]byte, large))
	s2Bomb := mustEncode(t, compress.S2(codec.Bytes(), large), make([]byte, large))
	gzipBomb := mustEncode(t, compress.Gzip(codec.Bytes(), large), make([]byte, large))

	// The size that a gzip record claims is at its end and can be made small.
	modestGzip := bytes.Clone(gzipBomb)
	binary.LittleEndian.PutUint32(modestGzip[len(modestGzip)-4:], 10)
	// A zstd frame of run-length blocks: 128 KiB for each four bytes, no size announced.
	rle := []byte("\x28\xb5\x2f\xfd\x00\x88")
	for range 1000 {
		rle = append(rle, 0x02, 0x00, 0x10, 0x00)
	}
	rle = append(rle, 0x03, 0x00, 0x10, 0x00)

	for _, c := range []struct {
		name   string
		codec  codec.Codec[[]byte]
		record []byte
		size   int64 // what the error says; 0 for just over the limit
	}{
		{"zstd", compress.Zstd(codec.Bytes(), bombLimit), zstdBomb, large},
		{"zstd streamed", compress.Zstd(codec.Bytes(), bombLimit), streamed(t, large, zstdStream), 0},
		{"zstd run length", compress.Zstd(codec.Bytes(), bombLimit), rle, 0},
		{"zstd that claims everything", compress.Zstd(codec.Bytes(), bombLimit),
			[]byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00"), math.MaxInt64},
		{"zstd in many frames", compress.Zstd(codec.Bytes(), bombLimit),
			bytes.Repeat(mustEncode(t, compress.Zstd(codec.Bytes(), bombLimit), make([]byte, bombLimit)), 500), 0},
		{"s2", compress.S2(codec.Bytes(), bombLimit), s2Bomb, 1 << 20},
		{"s2 streamed", compress.S2(codec.Bytes(), bombLimit), streamed(t, large, s2Stream), 1 << 20},
		{"s2 that claims everything", compress.S2(codec.Bytes(), bombLimit),
			[]byte("\xff\x06\x00\x00S2sTwO\x00\x0a\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f\x00"), math.MaxUint32},
		{"gzip", compress.Gzip(codec.Bytes(), bombLimit), gzipBomb, large},
		{"gzip streamed", compress.Gzip(codec.Bytes(), bombLimit), streamed(t, large, gzipStream), large},
		{"gzip that claims little", compress.Gzip(codec.Bytes(), bombLimit), modestGzip, 0},
		{"gzip in many members", compress.Gzip(codec.Bytes(), bombLimit),
			bytes.Repeat(mustEncode(t, compress.Gzip(codec.Bytes(), bombLimit), make([]byte, bombLimit)), 500), 0},
		{"gzip that claims everything", compress.Gzip(codec.Bytes(), bombLimit),
			append(bytes.Clone(gzipBomb[:len(gzipBomb)-4]), 0xff, 0xff, 0xff, 0xff), math.MaxUint32},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			decode := func() { _, err = c.codec.Decode(c.record) }
			taken := uint64(math.MaxUint64)
			for range 2 + runtime.GOMAXPROCS(0) { // coders take memory of their own when each is first used, and take turns
				taken = min(taken, allocated(decode))
			}

			var size *compress.SizeError
			if !errors.As(err, &size) {
				t.Fatalf("got %v, want a SizeError", err)
			}
			want := c.size
			if want == 0 {
				want = bombLimit + 1
			}
			if size.Limit != bombLimit || size.Size != want {
				t.Errorf("got %v, want a size of %d", err, want)
			}
			// That is in sum: each of four attempts on the way to the limit may overshoot by a zstd block, and a part of
			// what is pooled may have to be made again.
			if limit := uint64(2*bombLimit + 4*128<<10 + 128<<10); taken > limit {
				t.Errorf("refusing took %d bytes, want at most %d", taken, limit)
			}
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A record that lies about its size within the limit is refused, not believed.
func TestFalseSizes(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		c := f.make(1 << 20)
		v := text(5000)
		good := mustEncode(t, c, v)
		for i := range good {
			for _, x := range []byte{0x01, 0x80, 0xff} {
				b := bytes.Clone(good)
				b[i] ^= x
				if got, err := c.Decode(b); err == nil && !bytes.Equal(got, v) && bytes.HasPrefix(b, []byte(f.magic)) {
					t.Fatalf("byte %d altered: decodes to %s without an error", i, abridged(got))
				}
			}
		}
		for i := len(f.magic); i < len(good); i++ {
			if got, err := c.Decode(good[:i]); err == nil {
				t.Fatalf("cut at %d: decodes to %s without an error", i, abridged(got))
			} else if errors.Is(err, io.EOF) {
				t.Fatalf("cut at %d: %v is the end of a stream", i, err)
			}
		}
		if _, err := c.Decode(append(bytes.Clone(good), "garbage"...)); err == nil {
			t.Error("garbage behind a frame is accepted")
		}
	})
}
