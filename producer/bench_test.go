package producer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// discard is a sink that acknowledges at once and keeps nothing: what is left is the producer's own cost.
type discard struct{}

func (discard) NewAppender(backend.Format) backend.Appender { return discard{} }
func (discard) Limits() backend.Limits                      { return backend.Limits{} }
func (discard) Open(context.Context) (backend.Session, error) {
	return &discardSession{acks: make(chan uint64, 64), done: make(chan struct{})}, nil
}

type discardSession struct {
	acks chan uint64
	done chan struct{}
	once sync.Once
}

func (s *discardSession) Send(_ context.Context, seq uint64, _ []backend.Record) error {
	select {
	case s.acks <- seq:
		return nil
	case <-s.done:
		return backend.ErrClosed
	}
}

func (s *discardSession) Recv(context.Context) (backend.Ack, error) {
	select {
	case seq := <-s.acks:
		return backend.Ack{Seq: seq}, nil
	case <-s.done:
		return backend.Ack{}, backend.ErrClosed
	}
}

func (s *discardSession) Close() error { s.once.Do(func() { close(s.done) }); return nil }

type bytesCodec struct{}

func (bytesCodec) Format() codec.Format                       { return codec.Format{ContentType: "application/octet-stream"} }
func (bytesCodec) AppendEncode(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (bytesCodec) Decode(src []byte) ([]byte, error)          { return src, nil }

func BenchmarkEnqueue(b *testing.B) {
	b.Run("goroutines=1", func(b *testing.B) { benchmarkEnqueue(b, 1) })
	b.Run("goroutines=8", func(b *testing.B) { benchmarkEnqueue(b, 8) })
}

func benchmarkEnqueue(b *testing.B, goroutines int) {
	p, err := producer.New(b.Context(), discard{}, codec.Codec[[]byte](bytesCodec{}))
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
