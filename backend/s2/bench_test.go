package s2_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// benchServer keeps little, so that long runs do not measure memory.
func benchServer(b *testing.B) *s2test.Server {
	return s2test.New(b, s2test.Basin(basinName, true), s2test.Retain(256<<20))
}

var codings = []struct {
	name   string
	codec  s2s.Codec
	client []s2.Option
}{{"plain", s2s.None, nil}, {"zstd", s2s.Zstd, []s2.Option{s2.Zstd()}}}

func records(b *testing.B, n int) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// allocations returns what reports those since then for each of n records, the server's included: what is reported by the
// testing package is rounded down to 0.
func allocations(b *testing.B) (report func(n int)) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	return func(n int) {
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/record")
	}
}

// BenchmarkProduce is a producer beside a loop that writes frames made before over one HTTP/2 stream to the same server.
// One iteration is one record.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, c := range codings {
			value := payload(size)
			b.Run(fmt.Sprintf("%d/%s/raw", size, c.name), func(b *testing.B) {
				srv := benchServer(b)
				r := openRaw(b, srv, http.MethodPost, streamName(), "", c.codec.String())
				defer r.end()
				frame, per := rawFrame(b, value, c.codec)
				frames := (b.N + per - 1) / per
				b.ReportAllocs()
				b.ResetTimer()
				failed := make(chan error, 1)
				go func() {
					for range frames {
						if _, err := r.in.Write(frame); err != nil {
							failed <- err
							return
						}
					}
					failed <- nil
				}()
				for range frames {
					if _, _, err := r.out.Borrow(); err != nil {
						b.Fatal(err)
					}
				}
				if err := <-failed; err != nil {
					b.Fatal(err)
				}
				records(b, frames*per)
			})
			b.Run(fmt.Sprintf("%d/%s/producer", size, c.name), func(b *testing.B) {
				srv := benchServer(b)
				st := dial(b, srv, c.client...).Basin(basinName).Stream(streamName())
				p, err := producer.New(b.Context(), st, codec.Bytes())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				report := allocations(b)
				b.ResetTimer()
				for range b.N {
					if _, err := p.Enqueue(b.Context(), value); err != nil {
						b.Fatal(err)
					}
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
				records(b, b.N)
				report(b.N)
			})
		}
	}
}

// BenchmarkLone is one record at a time, waited for, beside a raw round trip of one frame.
func BenchmarkLone(b *testing.B) {
	value := payload(100)
	b.Run("raw", func(b *testing.B) {
		srv := benchServer(b)
		r := openRaw(b, srv, http.MethodPost, streamName(), "", "")
		defer r.end()
		frame := []byte{0, 0, 105, 0, 0x0a, 102, 0x1a, 100}
		frame = append(frame, value...)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.in.Write(frame); err != nil {
				b.Fatal(err)
			}
			if _, _, err := r.out.Borrow(); err != nil {
				b.Fatal(err)
			}
		}
		records(b, b.N)
	})
	b.Run("send", func(b *testing.B) {
		srv := benchServer(b)
		st := dial(b, srv).Basin(basinName).Stream(streamName())
		p, err := producer.New(b.Context(), st, codec.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Send(b.Context(), value); err != nil {
				b.Fatal(err)
			}
		}
		records(b, b.N)
	})
}

// BenchmarkConsume reads a stream of 100 000 records again and again: raw frames, the reader, and a consumer. One
// iteration is one record.
func BenchmarkConsume(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, c := range codings {
			kept := 100_000
			srv := s2test.New(b, s2test.Basin(basinName, true))
			st := dial(b, srv, c.client...).Basin(basinName).Stream(streamName())
			p, err := producer.New(b.Context(), st, codec.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			value := payload(size)
			for range kept {
				if _, err := p.Enqueue(b.Context(), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%d/%s/raw", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for n < b.N {
					r := openRaw(b, srv, http.MethodGet, st.Name(), "?seq_num=0&wait=0", c.codec.String())
					for {
						if _, _, err := r.out.Next(); err != nil {
							break
						}
					}
					r.end()
					n += kept
				}
				records(b, n)
			})
			b.Run(fmt.Sprintf("%d/%s/reader", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for n < b.N {
					r, err := st.OpenReader(b.Context(), backend.Earliest)
					if err != nil {
						b.Fatal(err)
					}
					for got := 0; got < kept; {
						batch, err := r.Read(b.Context())
						if err != nil {
							b.Fatal(err)
						}
						got += len(batch.Records)
					}
					_ = r.Close()
					n += kept
				}
				records(b, n)
			})
			b.Run(fmt.Sprintf("%d/%s/consumer", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				report := allocations(b)
				n := 0
				for n < b.N {
					c, err := consumer.New(st, codec.Bytes(), consumer.StopAtTail())
					if err != nil {
						b.Fatal(err)
					}
					got := 0
					for _, err := range c.Messages(b.Context()) {
						if err != nil {
							b.Fatal(err)
						}
						got++
					}
					if got != kept {
						b.Fatalf("%d records, want %d", got, kept)
					}
					n += kept
				}
				records(b, n)
				report(n)
			})
		}
	}
}
