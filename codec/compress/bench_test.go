package compress_test

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// batch makes a value of n bytes that compresses as records do: events in a row.
func batch(b *testing.B, n int) []byte {
	var v []byte
	for i := 0; len(v) < n; i++ {
		v = append(v, mustEncode(b, codec.JSON[event](), sampleEvent(i))...)
	}
	return v[:n]
}

func BenchmarkEncode(b *testing.B) {
	encoder, err := zstd.NewWriter(nil, zstd.WithLowerEncoderMem(true))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{100, 1000, 10_000} {
		v, buf := batch(b, n), make([]byte, 0, 32<<10)
		for _, f := range formats {
			c := f.make(1 << 20)
			run(b, fmt.Sprintf("%d/%s", n, f.name), n, func() error { _, err := c.AppendEncode(buf, v); return err })
		}
		// What the codec adds to its library: two copies and a pool.
		run(b, fmt.Sprintf("%d/library-zstd", n), n, func() error { encoder.EncodeAll(v, buf); return nil })
		run(b, fmt.Sprintf("%d/library-s2", n), n, func() error { s2.Encode(buf[:cap(buf)], v); return nil })
	}
	dictionary := compress.Zstd(codec.Bytes(), 1<<20, compress.Dictionary(trained(b)))
	v, buf := batch(b, 100), make([]byte, 0, 32<<10)
	run(b, "100/Zstd-dictionary", 100, func() error { _, err := dictionary.AppendEncode(buf, v); return err })
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		v := batch(b, n)
		for _, f := range formats {
			c := f.make(1 << 20)
			record := mustEncode(b, c, v)
			run(b, fmt.Sprintf("%d/%s", n, f.name), n, func() error { _, err := c.Decode(record); return err })
		}
		decoder, err := zstd.NewReader(nil)
		if err != nil {
			b.Fatal(err)
		}
		record := mustEncode(b, compress.Zstd(codec.Bytes(), 1<<20), v)
		buf := make([]byte, 0, 32<<10)
		run(b, fmt.Sprintf("%d/library-zstd", n), n, func() error { _, err := decoder.DecodeAll(record, buf); return err })
	}
}

func run(b *testing.B, name string, size int, f func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(size))
		n := 0
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}
