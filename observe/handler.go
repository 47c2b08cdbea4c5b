package observe

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/consumer"
)

// Handled holds the numbers of all handlers with one name.
type Handled struct {
	Name      string
	Running   int64     // attempts that have not returned
	Failed    uint64    // attempts that returned an error or panicked
	Durations Histogram // of all attempts
	LastError Failure
}

type handlerMeter struct {
	name      string
	running   atomic.Int64
	failed    atomic.Uint64
	durations histogram
	failure   failure
}

// Handler returns middleware for [consumer.Use]: it measures every attempt of a handler under the given name.
func Handler[T any](r *Registry, name string) func(consumer.Handler[T]) consumer.Handler[T] {
	m := meter(r, r.handlers, name, func() *handlerMeter { return &handlerMeter{name: name} })
	return func(next consumer.Handler[T]) consumer.Handler[T] {
		return func(ctx context.Context, msg consumer.Message[T]) (err error) {
			begun := time.Now()
			m.running.Add(1)
			returned := false
			defer func() { // runs in a panic too: the panic passes, and Process turns it into a failure
				m.running.Add(-1)
				m.durations.observe(time.Since(begun))
				if !returned || err != nil {
					m.failed.Add(1)
				}
				if err != nil {
					m.failure.note(err)
				}
			}()
			err = next(ctx, msg)
			returned = true
			return err
		}
	}
}

func (m *handlerMeter) snapshot() Handled {
	return Handled{
		Name: m.name, Running: m.running.Load(), Failed: m.failed.Load(), Durations: m.durations.snapshot(), LastError: m.failure.get(),
	}
}
