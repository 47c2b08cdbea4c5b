package group

import (
	"context"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/producer"
)

// BenchmarkProcess measures what a group adds to a record beside the consumer alone.
func BenchmarkProcess(b *testing.B) {
	for _, grouped := range []bool{false, true} {
		name := map[bool]string{false: "consumer", true: "group"}[grouped]
		b.Run(name, func(b *testing.B) {
			s := memory.New()
			p, err := producer.New(b.Context(), s, codec.JSON[int]())
			if err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				if _, err := p.Enqueue(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			ctx, end := context.WithCancel(b.Context())
			n := 0
			handle := func() error {
				if n++; n == 1 {
					b.ResetTimer()
				}
				if n == b.N {
					b.StopTimer()
					end()
				}
				return nil
			}
			b.ReportAllocs()
			if grouped {
				g, err := New(lease.NewMemory(), "g", Fixed(func(string) backend.Source { return s }, "s"), codec.JSON[int](), LeaseTime(400e6), DrainTimeout(100e6))
				if err != nil {
					b.Fatal(err)
				}
				_ = g.Process(ctx, func(context.Context, string, consumer.Message[int]) error { return handle() })
				return
			}
			c, err := consumer.New(s, codec.JSON[int](), consumer.Checkpoint(lease.NewMemory(), "k"))
			if err != nil {
				b.Fatal(err)
			}
			_ = c.Process(ctx, func(context.Context, consumer.Message[int]) error { return handle() })
		})
	}
}
