package compress_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Records of other tools are read: streamed without a size, with windows larger than what they hold and than the limit,
// several frames in a row, with chunks that are to be skipped.
func TestForeignRecords(t *testing.T) {
	v := append(text(100_000), noise(100_000)...)
	written := func(open func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := open(&b)
		for part := range bytes.SplitSeq(v, []byte(".")) { // in pieces, so that nobody knows the size
			if _, err := w.Write(append(bytes.Clone(part), '.')); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := append(bytes.Clone(v), '.')
	zstds, gzips, s2s := compress.Zstd(codec.Bytes(), 1<<20), compress.Gzip(codec.Bytes(), 1<<20), compress.S2(codec.Bytes(), 1<<20)
	snappys := compress.Snappy(codec.Bytes(), 1<<20)

	zstdRecord := written(func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<20), zstd.WithEncoderCRC(false))
		if err != nil {
			t.Fatal(err)
		}
		return z
	})
	gzipRecord := written(func(w io.Writer) io.WriteCloser {
		z := gzip.NewWriter(w)
		z.Name, z.Comment, z.Extra = "name", "comment", []byte("extra")
		return z
	})
	s2Record := written(func(w io.Writer) io.WriteCloser {
		return s2.NewWriter(w, s2.WriterConcurrency(1), s2.WriterBlockSize(4<<20), s2.WriterPadding(4096), s2.WriterAddIndex())
	})
	snappyRecord := written(func(w io.Writer) io.WriteCloser {
		return s2.NewWriter(w, s2.WriterConcurrency(1), s2.WriterSnappyCompat())
	})
	for _, c := range []struct {
		name   string
		codec  codec.Codec[[]byte]
		record []byte
	}{
		{"zstd", zstds, zstdRecord},
		{"gzip", gzips, gzipRecord},
		{"s2", s2s, s2Record},
		{"snappy", snappys, snappyRecord},
		{"snappy by S2", s2s, snappyRecord},
		{"s2 by Snappy", snappys, s2Record},
	} {
		got, err := c.codec.Decode(c.record)
		wantBytes(t, c.name, got, err, whole)
		got, err = c.codec.Decode(bytes.Repeat(c.record, 3))
		wantBytes(t, c.name+", three in a row", got, err, bytes.Repeat(whole, 3))
	}
	// A window of 128 MiB is no reason to refuse a small record, nor to take the memory.
	small := compress.Zstd(codec.Bytes(), len(whole))
	got, err := small.Decode(zstdRecord)
	wantBytes(t, "zstd at the limit", got, err, whole)
	if taken := allocated(func() { _, _ = small.Decode(zstdRecord) }); taken > 4<<20 {
		t.Errorf("a window of 128 MiB took %d bytes", taken)
	}
}

// Other tools read what is written here.
func TestRecordsAreStandard(t *testing.T) {
	readers := map[string]func(io.Reader) (io.Reader, error){
		"Zstd": func(r io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			if err == nil {
				t.Cleanup(d.Close)
			}
			return d, err
		},
		"Gzip":   func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"S2":     func(r io.Reader) (io.Reader, error) { return s2.NewReader(r), nil },
		"Snappy": func(r io.Reader) (io.Reader, error) { return s2.NewReader(r, s2.ReaderMaxBlockSize(64<<10)), nil },
	}
	each(t, func(t *testing.T, f format) {
		for level := 1; level <= min(f.levels, 3); level++ {
			for _, v := range [][]byte{text(1000), text(3 << 20), append([]byte(f.magic), noise(200_000)...), append(text(1<<20), noise(1<<20)...)} {
				r, err := readers[f.name](bytes.NewReader(mustEncode(t, f.make(4<<20, compress.Level(level)), v)))
				if err != nil {
					t.Fatalf("level %d, %s: %v", level, abridged(v), err)
				}
				got, err := io.ReadAll(r)
				wantBytes(t, "read by another tool", got, err, v)
			}
		}
	})
}
