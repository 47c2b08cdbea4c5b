package s2_test

import (
	"context"
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
	"github.com/headrace/headrace/internal/turns"
	"github.com/headrace/headrace/producer"
)

// here starts a server in the process of the benchmark. It keeps little, so that long runs do not measure memory.
func here(b *testing.B) address {
	srv := s2test.New(b, s2test.Basin(basinName, true), s2test.Retain(256<<20))
	return address{url: srv.URL(), token: srv.Token()}
}

var codings = []struct {
	name   string
	codec  s2s.Codec
	client []s2.Option
}{{"plain", s2s.None, nil}, {"zstd", s2s.Zstd, []s2.Option{s2.Zstd()}}}

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
func BenchmarkProduce(b *testing.B) { benchProduce(b, here) }

// BenchmarkApart is the benchmarks of the client with a server in a process of its own.
func BenchmarkApart(b *testing.B) {
	b.Run("Produce", func(b *testing.B) { benchProduce(b, apart) })
	b.Run("Lone", func(b *testing.B) { benchLone(b, apart) })
	b.Run("Consume", func(b *testing.B) { benchConsume(b, apart) })
}

func benchProduce(b *testing.B, start func(*testing.B) address) {
	for _, size := range []int{100, 1024} {
		for _, c := range codings {
			value := payload(size)
			b.Run(fmt.Sprintf("%d/%s/raw", size, c.name), func(b *testing.B) {
				at := start(b)
				r := openRaw(b, at, http.MethodPost, streamName(), "", c.codec.String())
				defer r.end()
				frame, per := rawFrame(b, value, c.codec)
				frames := (b.N + per - 1) / per
				b.ReportAllocs()
				report := at.measure(b)
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
				report(frames * per)
			})
			b.Run(fmt.Sprintf("%d/%s/producer", size, c.name), func(b *testing.B) {
				at := start(b)
				st := at.dial(b, c.client...).Basin(basinName).Stream(streamName())
				p, err := producer.New(b.Context(), st, codec.Bytes())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				allocated, report := allocations(b), at.measure(b)
				b.ResetTimer()
				for range b.N {
					if _, err := p.Enqueue(b.Context(), value); err != nil {
						b.Fatal(err)
					}
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
				report(b.N)
				allocated(b.N)
			})
		}
	}
}

// BenchmarkLone is one record at a time, waited for, beside a raw round trip of one frame.
func BenchmarkLone(b *testing.B) { benchLone(b, here) }

func benchLone(b *testing.B, start func(*testing.B) address) {
	value := payload(100)
	b.Run("raw", func(b *testing.B) {
		at := start(b)
		roundTrips := rawRoundTrips(b, at, value)
		b.ReportAllocs()
		report := at.measure(b)
		b.ResetTimer()
		roundTrips(b.N)
		report(b.N)
	})
	b.Run("send", func(b *testing.B) {
		at := start(b)
		sends := loneSends(b, at, value)
		b.ReportAllocs()
		report := at.measure(b)
		b.ResetTimer()
		sends(b.N)
		report(b.N)
	})
	b.Run("in turn", func(b *testing.B) {
		at := start(b)
		turns.Compare(b, 100, rawRoundTrips(b, at, value), loneSends(b, at, value))
	})
}

// rawRoundTrips returns a function that sends the same frame n times, and waits for each ack.
func rawRoundTrips(b *testing.B, at address, value []byte) func(n int) {
	r := openRaw(b, at, http.MethodPost, streamName(), "", "")
	b.Cleanup(r.end)
	frame := append([]byte{0, 0, 105, 0, 0x0a, 102, 0x1a, 100}, value...)
	return func(n int) {
		for range n {
			if _, err := r.in.Write(frame); err != nil {
				b.Fatal(err)
			}
			if _, _, err := r.out.Borrow(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// loneSends returns a function that sends a record n times, and waits for each receipt.
func loneSends(b *testing.B, at address, value []byte) func(n int) {
	st := at.dial(b).Basin(basinName).Stream(streamName())
	p, err := producer.New(b.Context(), st, codec.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return func(n int) {
		for range n {
			if err := p.Send(context.Background(), value); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkConsume reads a stream of 100 000 records again and again: raw frames, the reader, and a consumer. One
// iteration is one record.
func BenchmarkConsume(b *testing.B) { benchConsume(b, here) }

func benchConsume(b *testing.B, start func(*testing.B) address) {
	for _, size := range []int{100, 1024} {
		for _, c := range codings {
			kept := 100_000
			at := start(b)
			st := at.dial(b, c.client...).Basin(basinName).Stream(streamName())
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
			raws := map[string]bool{"raw": false}
			if c.codec != s2s.None {
				raws["raw, decompressed"] = true
			}
			for name, decompressed := range raws {
				b.Run(fmt.Sprintf("%d/%s/%s", size, c.name, name), func(b *testing.B) {
					b.ReportAllocs()
					report := at.measure(b)
					n := 0
					for n < b.N {
						readRaw(b, openRaw(b, at, http.MethodGet, st.Name(), "?seq_num=0&wait=0", c.codec.String()), decompressed)
						n += kept
					}
					report(n)
				})
			}
			b.Run(fmt.Sprintf("%d/%s/reader", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				report := at.measure(b)
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
						if batch.Free != nil { // as a consumer does
							batch.Free()
						}
					}
					_ = r.Close()
					n += kept
				}
				report(n)
			})
			b.Run(fmt.Sprintf("%d/%s/consumer", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				allocated, report := allocations(b), at.measure(b)
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
				report(n)
				allocated(n)
			})
		}
	}
}

// readRaw reads frames up to the end of the response.
func readRaw(b *testing.B, r *raw, decompressed bool) {
	defer r.end()
	coder, err := new(s2s.Coders).New(s2s.None)
	check(b, err)
	defer coder.Close()
	for {
		flags, payload, err := r.out.Next()
		if err != nil {
			return
		}
		if decompressed {
			_, err = coder.Open(flags, payload)
			check(b, err)
		}
	}
}
