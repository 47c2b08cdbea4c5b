package producer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
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
	b.ReportAllocs()
	spread(b, goroutines, func(_ int, value []byte) error {
		_, err := p.Enqueue(context.Background(), value)
		return err
	})
	if err := p.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkCopyAlone is the part of Enqueue that no producer can do without: a record and its 100 bytes are copied to their place
// in a batch. It shows what eight goroutines can gain on several cores while they share a batch, with a lock or with one atomic
// add for each record, beside goroutines that share nothing.
func BenchmarkCopyAlone(b *testing.B) {
	var shared bareBatch
	own := make([]bareBatch, 8)
	for _, goroutines := range []int{1, 8} {
		for _, way := range []struct {
			name string
			put  func(goroutine int, value []byte)
		}{
			{"lock", func(_ int, value []byte) { shared.putLocked(value) }},
			{"add", func(_ int, value []byte) { shared.put(int(shared.next.Add(1)), value) }},
			{"own", func(g int, value []byte) { own[g].last++; own[g].put(own[g].last, value) }},
		} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", way.name, goroutines), func(b *testing.B) {
				spread(b, goroutines, func(g int, value []byte) error {
					way.put(g, value)
					return nil
				})
			})
		}
	}
}

// A bareBatch has the memory of a batch and nothing else. It begins anew when it is full.
type bareBatch struct {
	items [10_000]backend.Record
	arena [10_000 * 100]byte
	mu    sync.Mutex
	last  int          // guarded by mu, or used by one goroutine alone
	next  atomic.Int64 // for put without a lock
	_     [64]byte     // two batches share no cache line
}

func (s *bareBatch) put(i int, value []byte) {
	i %= len(s.items)
	place := s.arena[i*100 : (i+1)*100 : (i+1)*100]
	copy(place, value)
	s.items[i] = backend.Record{Value: place}
}

// putLocked takes the lock as the batcher does.
func (s *bareBatch) putLocked(value []byte) {
	if !s.mu.TryLock() {
		runtime.Gosched()
		s.mu.Lock()
	}
	s.last++
	s.put(s.last, value)
	s.mu.Unlock()
}

// spread calls f b.N times, from several goroutines, each with a value of its own.
func spread(b *testing.B, goroutines int, f func(goroutine int, value []byte) error) {
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range goroutines {
		n := b.N / goroutines
		if g == 0 {
			n += b.N % goroutines
		}
		wg.Go(func() {
			value := make([]byte, 100)
			for range n {
				if err := f(g, value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
