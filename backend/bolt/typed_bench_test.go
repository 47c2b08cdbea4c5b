package bolt_test

import (
	"bytes"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/turns"
	"github.com/headrace/headrace/producer"
)

// BenchmarkProducer is BenchmarkAppend as a user does it: record by record through a Producer, durable at the end.
func BenchmarkProducer(b *testing.B) {
	b.Run("raw bbolt", func(b *testing.B) { rawAppend(b, batchRecords) })
	b.Run("producer", func(b *testing.B) {
		p, err := producer.New(ctx, openDB(b).Stream("orders"), codec.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		value := bytes.Repeat([]byte{1}, 100)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			for range batchRecords { // an op is as many records as the raw transaction holds
				if _, err := p.Enqueue(ctx, value); err != nil {
					b.Fatal(err)
				}
			}
			n += batchRecords
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkLoneSend is BenchmarkLoneAppend as a user does it.
func BenchmarkLoneSend(b *testing.B) {
	b.Run("raw bbolt", func(b *testing.B) { rawAppend(b, 1) })
	b.Run("producer", func(b *testing.B) {
		sends := loneSends(b)
		b.ReportAllocs()
		for b.Loop() {
			sends(1)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("in turn", func(b *testing.B) { turns.Compare(b, 100, rawCommits(b, 1), loneSends(b)) })
}

// loneSends returns a function that sends records through a producer, and waits for each.
func loneSends(b *testing.B) func(n int) {
	p, err := producer.New(ctx, openDB(b).Stream("orders"), codec.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	value := bytes.Repeat([]byte{1}, 100)
	return func(n int) {
		for range n {
			if err := p.Send(ctx, value); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkConsumer reads a stream from its first record to its tail through a Consumer.
func BenchmarkConsumer(b *testing.B) {
	const total = 500 * batchRecords
	stream := openDB(b).Stream("orders")
	p, err := producer.New(ctx, stream, codec.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	value := bytes.Repeat([]byte{1}, 100)
	for range total {
		if _, err := p.Enqueue(ctx, value); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		c, err := consumer.New(stream, codec.Bytes(), consumer.StopAtTail())
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range c.Messages(ctx) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	if n != total*b.N {
		b.Fatalf("read %d records, want %d", n, total*b.N)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
