package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

const benchRecords = 100_000

// filled returns a memory stream of n records of 100 bytes.
func filled(tb testing.TB, n int) *memory.Stream {
	tb.Helper()
	s := memory.New()
	value := bytes.Repeat([]byte{'x'}, 100)
	fill(tb, s, n, func(int) []byte { return value })
	return s
}

// fill appends n records.
func fill(tb testing.TB, s backend.Sink, n int, value func(i int) []byte) {
	tb.Helper()
	ctx := context.Background()
	session, err := s.NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	defer session.Close()
	for seq, i := uint64(0), 0; i < n; seq++ {
		var recs []backend.Record
		for ; i < n && len(recs) < 1000; i++ {
			recs = append(recs, backend.Record{Value: value(i)})
		}
		if err := session.Send(ctx, seq, recs); err != nil {
			tb.Fatal(err)
		}
		if _, err := session.Recv(ctx); err != nil {
			tb.Fatal(err)
		}
	}
}

// readRaw is the limit: what reading alone costs.
func readRaw(tb testing.TB, s backend.Source) (n int) {
	ctx := context.Background()
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(ctx)
		if err != nil {
			tb.Fatal(err)
		}
		n += len(b.Records)
		if b.CaughtUp {
			return n
		}
	}
}

func readAll[T any](tb testing.TB, s backend.Source, c codec.Codec[T], opts ...consumer.Option) (n int) {
	con, err := consumer.New(s, c, append(opts, consumer.StopAtTail())...)
	if err != nil {
		tb.Fatal(err)
	}
	for _, err := range con.Messages(context.Background()) {
		if err != nil {
			tb.Fatal(err)
		}
		n++
	}
	return n
}

func bench(b *testing.B, all func(b *testing.B) int) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n += all(b)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

// BenchmarkConsume reads 100,000 records of 100 bytes from memory per op.
func BenchmarkConsume(b *testing.B) {
	s := filled(b, benchRecords)
	ctx := context.Background()
	b.Run("limit=Read", func(b *testing.B) { bench(b, func(b *testing.B) int { return readRaw(b, s) }) })
	b.Run("Messages", func(b *testing.B) {
		bench(b, func(b *testing.B) int { return readAll(b, s, codec.Bytes()) })
	})
	b.Run("Messages/prepared", func(b *testing.B) {
		var p prepared
		r, err := s.OpenReader(ctx, backend.Earliest)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		for caught := false; !caught; {
			got, err := r.Read(ctx)
			if err != nil {
				b.Fatal(err)
			}
			p, caught = append(p, got), got.CaughtUp
		}
		bench(b, func(b *testing.B) (n int) {
			c, err := consumer.New(p, codec.Bytes()) // a prepared source ends by itself
			if err != nil {
				b.Fatal(err)
			}
			for _, err := range c.Messages(ctx) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			return n
		})
	})
	b.Run("Batches", func(b *testing.B) {
		bench(b, func(b *testing.B) (n int) {
			c, err := consumer.New(s, codec.Bytes(), consumer.StopAtTail())
			if err != nil {
				b.Fatal(err)
			}
			for batch, err := range c.Batches(ctx) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(batch)
			}
			return n
		})
	})
	b.Run("ManualAck", func(b *testing.B) {
		bench(b, func(b *testing.B) (n int) {
			c, err := consumer.New(s, codec.Bytes(), consumer.StopAtTail(), consumer.ManualAck())
			if err != nil {
				b.Fatal(err)
			}
			for m, err := range c.Messages(ctx) {
				if err != nil {
					b.Fatal(err)
				}
				m.Ack()
				n++
			}
			return n
		})
	})
	b.Run("Pipe", func(b *testing.B) {
		durable := producer.Resolved("1", nil)
		bench(b, func(b *testing.B) (n int) {
			c, err := consumer.New(s, codec.Bytes(), consumer.StopAtTail())
			if err != nil {
				b.Fatal(err)
			}
			err = c.Pipe(ctx, func(context.Context, consumer.Message[[]byte]) (producer.Receipt, error) {
				n++
				return durable, nil
			})
			if err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
}

// BenchmarkDecoders decodes something that costs about two microseconds a record.
func BenchmarkDecoders(b *testing.B) {
	s := filled(b, benchRecords/10)
	costly := codec.Func("", nil, func(src []byte) (uint32, error) {
		h := uint32(0)
		for range 20 {
			for _, c := range src {
				h = h*16777619 ^ uint32(c)
			}
		}
		if h == 0 {
			return 0, errors.New("unlucky")
		}
		return h, nil
	})
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("Decoders=%d", n), func(b *testing.B) {
			bench(b, func(b *testing.B) int { return readAll(b, s, costly, consumer.Decoders(n)) })
		})
	}
}
