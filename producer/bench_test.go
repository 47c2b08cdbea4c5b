package producer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func BenchmarkEnqueue(b *testing.B) {
	b.Run("goroutines=1", func(b *testing.B) { benchmarkEnqueue(b, 1) })
	b.Run("goroutines=8", func(b *testing.B) { benchmarkEnqueue(b, 8) })
}

func benchmarkEnqueue(b *testing.B, goroutines int) {
	p, err := producer.New(b.Context(), backendtest.Discard(backend.Limits{}), codec.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range goroutines {
		n := b.N / goroutines
		if g == 0 {
			n += b.N % goroutines
		}
		wg.Go(func() {
			for range n {
				if _, err := p.Enqueue(context.Background(), value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
