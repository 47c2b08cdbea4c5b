package producer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
	"github.com/headrace/headrace/codec"
)

// A Producer writes values of T to a stream. It is safe for use from many goroutines; each goroutine's values keep
// their order. Make one with [New] and close it.
type Producer[T any] struct {
	codec  codec.Codec[T]
	engine *engine
	closed atomic.Bool
}

// New opens the sink and returns a Producer on it. An opening that fails for a passing reason is tried again until ctx
// ends, and for about half a minute when ctx has no deadline ([Attempts]); a wrong name, token or format is reported at
// once. The producer outlives ctx: only its Close or an error that no retry can mend ends it.
func New[T any](ctx context.Context, sink backend.Sink, c codec.Codec[T], opts ...Option) (*Producer[T], error) {
	switch {
	case sink == nil:
		return nil, errors.New("producer: the sink is nil")
	case c == nil:
		return nil, errors.New("producer: the codec is nil")
	}
	conf, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	e, err := start(ctx, sink.NewAppender(c.Format()), conf)
	if err != nil {
		return nil, err
	}
	return &Producer[T]{codec: c, engine: e}, nil
}

// Send writes values and returns when all of them are durable. They go to the stream in order, in one batch with what
// others send at the same time where that fits.
//
// A value that cannot be encoded, or that the store can never hold, fails the call before any of them is accepted. Once all
// are accepted, the error of several values is a [*SendError], which names those that failed; the others are stored. The
// error of a single value is its own.
//
// An error that wraps [backend.ErrIndeterminate] says that some may be stored. When ctx ends after values were accepted, they
// are still sent, and the error wraps ctx's too.
func (p *Producer[T]) Send(ctx context.Context, vs ...T) error {
	d := drafts.Get().(*draft)
	defer d.free()
	for i, v := range vs {
		err := encode(d, p.codec, v)
		if err == nil {
			d.ends = append(d.ends, len(d.buf))
			_, err = p.meter(d, d.value(i))
		}
		if err != nil {
			return fmt.Errorf("producer: value %d of %d: %w", i+1, len(vs), err)
		}
	}
	for i := range vs {
		d.rec = backend.Record{Value: d.value(i)}
		r, err := p.put(ctx, d, false)
		if err != nil && i > 0 {
			err = fmt.Errorf("%w: only the first %d of %d values were accepted: %w", backend.ErrIndeterminate, i, len(vs), err)
		}
		if err != nil {
			return err
		}
		d.receipts = append(d.receipts, r)
	}
	return d.wait(ctx)
}

// Enqueue accepts a value and returns its receipt. It blocks only while the buffer is full; when ctx ends before there
// is room, the error wraps [ErrFull] and ctx's, and nothing was accepted. What was accepted is sent whatever becomes of
// ctx.
//
// A value that cannot be encoded, or that the store can never hold ([backend.ErrTooLarge], [backend.ErrRejected]), is
// refused here and concerns no other.
func (p *Producer[T]) Enqueue(ctx context.Context, v T) (Receipt, error) {
	return p.offer(ctx, Record[T]{Value: v}, false)
}

// TryEnqueue is Enqueue that never blocks: [ErrFull] when the buffer is full.
func (p *Producer[T]) TryEnqueue(v T) (Receipt, error) {
	return p.offer(context.Background(), Record[T]{Value: v}, true)
}

// EnqueueRecord is Enqueue for a value with headers and a time of its own.
func (p *Producer[T]) EnqueueRecord(ctx context.Context, r Record[T]) (Receipt, error) {
	return p.offer(ctx, r, false)
}

// EnqueueEncoded is Enqueue for a record whose bytes are there already, such as one that another producer left
// ([Producer.Unacked]). The bytes are copied and not looked at: they must be what the codec writes.
func (p *Producer[T]) EnqueueEncoded(ctx context.Context, r backend.Record) (Receipt, error) {
	d := drafts.Get().(*draft)
	defer d.free()
	d.rec.Value, d.rec.Headers, d.rec.Time = r.Value, r.Headers, r.Time
	return p.put(ctx, d, false)
}

func (p *Producer[T]) offer(ctx context.Context, r Record[T], try bool) (Receipt, error) {
	d := drafts.Get().(*draft)
	defer d.free()
	if err := encode(d, p.codec, r.Value); err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	d.rec.Value, d.rec.Headers, d.rec.Time = d.buf, r.Headers, r.Time
	return p.put(ctx, d, try)
}

// put offers d.rec to the batcher, which copies it.
func (p *Producer[T]) put(ctx context.Context, d *draft, try bool) (Receipt, error) {
	size, err := p.meter(d, d.rec.Value)
	if err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	var b *batch
	var i int
	if try {
		b, i, err = p.engine.queue.TryPut(&d.rec, size, held(&d.rec))
	} else {
		b, i, err = p.engine.queue.Put(ctx, &d.rec, size, held(&d.rec))
	}
	switch {
	case err == nil:
		return Receipt{latch: b.Companion.latch, index: i}, nil
	case errors.Is(err, batcher.ErrTooLarge):
		return Receipt{}, fmt.Errorf("producer: %w: %w", backend.ErrTooLarge, err)
	case errors.Is(err, ErrFull):
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	return Receipt{}, err
}

// meter asks the store's meter about d.rec with the given value, and refuses what the store can never hold.
func (p *Producer[T]) meter(d *draft, value []byte) (int, error) {
	d.rec.Value = value
	l := p.engine.limits.Load()
	size, err := l.Meter(&d.rec)
	switch {
	case err != nil:
		return 0, err
	case l.RecordBytes > 0 && size > l.RecordBytes:
		return 0, fmt.Errorf("%w: a record of %d bytes, the store's RecordBytes is %d", backend.ErrTooLarge, size, l.RecordBytes)
	case l.BatchBytes > 0 && size > l.BatchBytes:
		return 0, fmt.Errorf("%w: a record of %d bytes, the store's BatchBytes is %d", backend.ErrTooLarge, size, l.BatchBytes)
	}
	return size, nil
}

// Flush sends what is there without linger and returns when everything accepted before is decided: nil means durable,
// all of it since the previous Flush. Else it is the first failure since then, whether or not anyone waited for its
// receipt. When ctx ends first the error wraps ctx's and the failures stay for the next Flush.
//
// Of several calls at the same time, Close included, each returns every failure of what was accepted before it. A failure
// that one has returned is not returned by a Flush that begins later, whoever calls it: goroutines that share a producer and
// flush in turn learn of their own records from Send or from their receipts.
func (p *Producer[T]) Flush(ctx context.Context) error {
	if p.closed.Load() {
		return errClosed
	}
	return p.engine.flush(ctx)
}

// Close is Shutdown with a budget of its own, DrainTimeout, so that it may be deferred: a context that a signal has
// ended would store nothing. Do not call it in a hook ([Hooks]): it waits for the goroutine that the hook runs in, and
// returns an error when the budget is used up.
func (p *Producer[T]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.engine.drainTimeout)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown refuses new records, sends what was accepted, and returns when all of it is decided, nil when it is durable.
// When ctx ends first it abandons the rest: their receipts fail, the error says how many there are and wraps ctx's, and
// [Producer.Unacked] yields them. It returns the first failure since the previous Flush too. Calling it again does no
// harm.
func (p *Producer[T]) Shutdown(ctx context.Context) error {
	p.closed.Store(true)
	return p.engine.shutdown(ctx)
}

// Unacked yields the records that were accepted and never confirmed, in order and as encoded, with true where the record
// may be stored. It yields something only after a fatal error or a Close that left something. The records stay valid:
// offer them to another producer with [Producer.EnqueueEncoded].
func (p *Producer[T]) Unacked() iter.Seq2[backend.Record, bool] { return p.engine.unacked() }

// Done is closed when the producer has stopped: after an error that it does not get over, or when Close is over. A producer
// that waits for its store to come back has not stopped.
func (p *Producer[T]) Done() <-chan struct{} { return p.engine.ended }

// Err returns nil until Done is closed, and then why the producer stopped, which every later call says too. The error wraps
// [backend.ErrClosed]; after an error that stopped the producer its cause is in the text, and [errors.As] finds it.
func (p *Producer[T]) Err() error { return p.engine.err() }

// Stats returns a snapshot.
func (p *Producer[T]) Stats() Stats { return p.engine.snapshot() }
