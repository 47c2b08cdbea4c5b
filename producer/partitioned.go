package producer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// Partitioned writes values of T to several streams. The key of a value decides which stream the value goes to ([Partition]),
// so the values of a key keep their order. Values of different keys have no order. Any number of goroutines may use a
// Partitioned. [NewPartitioned] makes a Partitioned; the caller must close the Partitioned.
//
// Each stream has a [Producer] of its own: an outage or a fatal error of a stream does not affect the keys of other streams.
type Partitioned[T any] struct {
	producers []*Producer[T]
	key       func(T) string
}

// Partition returns which of n streams has the values of key: the 64-bit FNV-1a hash of the bytes of key, modulo n. This rule does
// not change between versions, so programs in other languages may compute the number too. When n changes, most keys move to another
// stream, and their order is lost at that moment. n must be at least 1; Partition panics when n is 0.
func Partition(key string, n int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum64() % uint64(n))
}

// NewPartitioned opens all sinks, as [New] does, and returns a Partitioned. The order of the sinks counts: a value goes to
// sinks[Partition(key(value), len(sinks))]. All options apply to each sink, so up to len(sinks) times [BufferBytes] are
// buffered. key must be fast and have no side effects.
func NewPartitioned[T any](ctx context.Context, sinks []backend.Sink, c codec.Codec[T], key func(T) string, opts ...Option) (*Partitioned[T], error) {
	switch {
	case len(sinks) == 0:
		return nil, errors.New("producer: partitioned: there are no sinks")
	case key == nil:
		return nil, errors.New("producer: partitioned: the function for the key is nil")
	}
	p := &Partitioned[T]{producers: make([]*Producer[T], len(sinks)), key: key}
	err := p.each(func(i int) (err error) {
		p.producers[i], err = New(ctx, sinks[i], c, opts...)
		return err
	})
	if err != nil {
		for _, one := range p.producers {
			if one != nil {
				_ = one.Close() // this producer has accepted nothing, so the error does not matter
			}
		}
		return nil, err
	}
	return p, nil
}

// Producers returns the producers of the sinks, in the order of the sinks, for their Stats, Done and Unacked.
func (p *Partitioned[T]) Producers() []*Producer[T] { return slices.Clone(p.producers) }

// Send is [Producer.Send]: Send returns when all values are durable. The values of a key are stored in the order given.
func (p *Partitioned[T]) Send(ctx context.Context, vs ...T) error {
	return p.send(ctx, len(vs), func(i int) Record[T] { return Record[T]{Value: vs[i]} })
}

// SendRecord is [Partitioned.Send] for values with headers and times.
func (p *Partitioned[T]) SendRecord(ctx context.Context, rs ...Record[T]) error {
	return p.send(ctx, len(rs), func(i int) Record[T] { return rs[i] })
}

// Enqueue is [Producer.Enqueue] to the stream of the value. Enqueue blocks only while the buffer of this stream is full.
func (p *Partitioned[T]) Enqueue(ctx context.Context, v T) (Receipt, error) {
	return p.of(v).Enqueue(ctx, v)
}

// TryEnqueue is an Enqueue that never blocks: when the buffer of the stream is full, TryEnqueue returns [ErrFull].
func (p *Partitioned[T]) TryEnqueue(v T) (Receipt, error) { return p.of(v).TryEnqueue(v) }

// EnqueueRecord is Enqueue for a value with headers and a time.
func (p *Partitioned[T]) EnqueueRecord(ctx context.Context, r Record[T]) (Receipt, error) {
	return p.of(r.Value).EnqueueRecord(ctx, r)
}

// TryEnqueueRecord is TryEnqueue for a value with headers and a time.
func (p *Partitioned[T]) TryEnqueueRecord(r Record[T]) (Receipt, error) {
	return p.of(r.Value).TryEnqueueRecord(r)
}

// Flush is [Producer.Flush] of all streams at once. Its error joins the errors of the streams.
func (p *Partitioned[T]) Flush(ctx context.Context) error {
	return p.each(func(i int) error { return p.producers[i].Flush(ctx) })
}

// Close is [Producer.Close] of all streams at once, with one [DrainTimeout] for all.
func (p *Partitioned[T]) Close() error {
	return p.each(func(i int) error { return p.producers[i].Close() })
}

// Shutdown is [Producer.Shutdown] of all streams at once.
func (p *Partitioned[T]) Shutdown(ctx context.Context) error {
	return p.each(func(i int) error { return p.producers[i].Shutdown(ctx) })
}

func (p *Partitioned[T]) of(v T) *Producer[T] {
	return p.producers[Partition(p.key(v), len(p.producers))]
}

// send encodes all values before the first value is put, as a Producer does: one bad value then fails the call before any value is
// accepted.
func (p *Partitioned[T]) send(ctx context.Context, n int, at func(i int) Record[T]) error {
	if n == 1 { // as with a Producer, the most common call allocates nothing
		return p.of(at(0).Value).SendRecord(ctx, at(0))
	}
	drafts := make(map[*Producer[T]]*draft)
	defer func() {
		for _, d := range drafts {
			d.free()
		}
	}()
	order := make([]*Producer[T], n) // order[i] is the producer of value i
	for i := range n {
		r := at(i)
		one := p.of(r.Value)
		d := drafts[one]
		if d == nil {
			d = newDraft()
			drafts[one] = d
		}
		if err := one.encodeAndMeter(d, r); err != nil {
			return valueError(i, n, err)
		}
		order[i] = one
	}
	receipts := make([]Receipt, 0, n)
	put := make(map[*Producer[T]]int, len(drafts)) // values of each draft that were put
	for i, one := range order {
		d := drafts[one]
		value, x := d.load(put[one])
		put[one]++
		r, err := one.put(ctx, value, x, false)
		if err != nil {
			return notAllAccepted(i, n, err)
		}
		receipts = append(receipts, r)
	}
	for _, r := range receipts {
		r.latch.want() // for every stream before the first wait: until then, a batch that nobody waits for would linger
	}
	return waitAll(ctx, receipts)
}

// each calls f for all sinks at the same time. The error of a sink names the number of the sink.
func (p *Partitioned[T]) each(f func(i int) error) error {
	failures := make([]error, len(p.producers))
	var all sync.WaitGroup
	for i := range p.producers {
		all.Go(func() {
			if err := f(i); err != nil {
				failures[i] = &partitionError{i, len(p.producers), err}
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// A partitionError is an error of one of n producers.
type partitionError struct {
	i, n int
	err  error
}

func (e *partitionError) Error() string {
	return fmt.Sprintf("producer: partition %d of %d: %s", e.i, e.n, strings.TrimPrefix(e.err.Error(), "producer: "))
}

func (e *partitionError) Unwrap() error { return e.err }
