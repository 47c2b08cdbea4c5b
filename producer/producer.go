package producer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// A Producer writes values of T to a stream. Any number of goroutines may use a Producer; the values of each goroutine keep
// their order. [New] makes a Producer; the caller must close the Producer.
type Producer[T any] struct {
	encoder encoder[T]
	engine  *engine
	closed  atomic.Bool
}

// New opens the sink and returns a Producer. After a transient failure New tries again until ctx ends, or for about half a
// minute when ctx has no deadline ([Attempts]). New reports a wrong name, token or format at once. The Producer outlives ctx:
// only Close, or an error that no retry can mend, ends a Producer.
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
	return &Producer[T]{encoder: newEncoder(c), engine: e}, nil
}

// Send writes values and returns when all of them are durable. The values go to the stream in order, and share a batch with
// values that other goroutines send at the same time, if all fit.
//
// When a value cannot be encoded ([*EncodeError]), or when the store can never hold a value ([backend.ErrTooLarge],
// [backend.ErrRejected]), Send fails before any value is accepted. After all values were accepted, the error of several values is
// a [*SendError], which names the values that failed; the others are stored. The error of a single value is returned as it is.
//
// An error that wraps [backend.ErrIndeterminate] means: some values may be stored. When ctx ends after values were accepted,
// the values are still sent, and the error wraps the error of ctx too.
func (p *Producer[T]) Send(ctx context.Context, vs ...T) error {
	return p.send(ctx, len(vs), func(i int) Record[T] { return Record[T]{Value: vs[i]} })
}

// SendRecord is [Producer.Send] for values with headers and times.
func (p *Producer[T]) SendRecord(ctx context.Context, rs ...Record[T]) error {
	return p.send(ctx, len(rs), func(i int) Record[T] { return rs[i] })
}

// valueError is the error of value i of a call with n values.
func valueError(i, n int, err error) error {
	return fmt.Errorf("producer: value %d of %d: %w", i+1, n, err)
}

// encodeAndMeter encodes a record behind the earlier records of the draft, and refuses a record that the store can never hold.
func (p *Producer[T]) encodeAndMeter(d *draft, r Record[T]) error {
	if err := p.encoder.encode(d, r); err != nil {
		return err
	}
	_, err := p.meter(d.load(len(d.marks) - 1))
	return err
}

// send encodes n records, puts the records, and waits until all of them are decided. All records are encoded before the first
// record is put: one bad value then fails the call before any value is accepted.
func (p *Producer[T]) send(ctx context.Context, n int, at func(i int) Record[T]) error {
	d := newDraft()
	defer d.free()
	for i := range n {
		if err := p.encodeAndMeter(d, at(i)); err != nil {
			return valueError(i, n, err)
		}
	}
	for i := range n {
		value, x := d.load(i)
		r, err := p.put(ctx, value, x, false)
		if err != nil {
			return notAllAccepted(i, n, err)
		}
		d.receipts = append(d.receipts, r)
	}
	return waitAll(ctx, d.receipts)
}

// notAllAccepted is the error of a call that put only i of its n values.
func notAllAccepted(i, n int, err error) error {
	if i == 0 {
		return err
	}
	return fmt.Errorf("producer: %w: only the first %d of %d values were accepted: %w", backend.ErrIndeterminate, i, n, err)
}

// Enqueue accepts a value and returns its receipt. Enqueue blocks only while the buffer is full. When ctx ends before there is
// room, nothing was accepted, and the error wraps [ErrFull] and the error of ctx. An accepted value is sent even when ctx ends
// later.
//
// Enqueue refuses a value that cannot be encoded ([*EncodeError]), or that the store can never hold ([backend.ErrTooLarge],
// [backend.ErrRejected]). Other values are not affected.
func (p *Producer[T]) Enqueue(ctx context.Context, v T) (Receipt, error) {
	return p.offer(ctx, v, false)
}

// TryEnqueue is an Enqueue that never blocks: when the buffer is full, TryEnqueue returns [ErrFull].
func (p *Producer[T]) TryEnqueue(v T) (Receipt, error) {
	return p.offer(context.Background(), v, true)
}

// EnqueueRecord is Enqueue for a value with headers and a time.
func (p *Producer[T]) EnqueueRecord(ctx context.Context, r Record[T]) (Receipt, error) {
	return p.offerRecord(ctx, r, false)
}

// TryEnqueueRecord is [Producer.TryEnqueue] for a value with headers and a time.
func (p *Producer[T]) TryEnqueueRecord(r Record[T]) (Receipt, error) {
	return p.offerRecord(context.Background(), r, true)
}

// EnqueueEncoded is Enqueue for a record that is encoded already, for example a record from [Producer.Unacked] of another
// producer. The bytes are copied and not checked: the caller must pass bytes as the codec writes them.
func (p *Producer[T]) EnqueueEncoded(ctx context.Context, r backend.Record) (Receipt, error) {
	return p.putWith(ctx, r.Value, r.Headers, r.Time, false)
}

// Flush sends the buffered records without linger, and returns when every record accepted before is decided. Nil means: every
// record since the previous Flush is durable. Otherwise Flush returns the first failure since then, even when nobody waited
// for the receipt. When ctx ends first, the error wraps the error of ctx, and the failures stay for the next Flush.
//
// When several calls of Flush or Close run at the same time, each reports all failures among the records accepted before the
// call: the first failure and the number of failures. A Flush that begins later does not return these failures again, whoever
// calls Flush. Therefore goroutines that share a producer and flush in turn must learn of their own records from Send or from
// their receipts. After Close, Flush fails with [backend.ErrClosed].
func (p *Producer[T]) Flush(ctx context.Context) error {
	if p.closed.Load() {
		return errClosed
	}
	return p.engine.flush(ctx)
}

// Close is Shutdown with a time limit of its own, [DrainTimeout]. Close takes no context, so that Close can be deferred: a
// context that a signal has ended already would leave no time to store the records. Do not call Close in a hook ([Hooks]):
// Close waits for the goroutine of the hook, and returns an error after the time limit.
func (p *Producer[T]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.engine.drainTimeout)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown refuses new records, sends the accepted records, and returns when all of them are decided; nil means durable. When
// ctx ends first, Shutdown abandons the rest: the receipts fail, the error says how many records are left and wraps the error
// of ctx, and [Producer.Unacked] yields the records. Like Flush, Shutdown also returns the first failure since the previous
// Flush. A second call does no harm.
func (p *Producer[T]) Shutdown(ctx context.Context) error {
	p.closed.Store(true)
	return p.engine.shutdown(ctx)
}

// Unacked yields the records that were accepted and never confirmed, in order and encoded. The second value is true when the
// record may be stored. Unacked yields records only after a fatal error, or after a Close that left records. The records stay
// valid: give them to another producer with [Producer.EnqueueEncoded].
func (p *Producer[T]) Unacked() iter.Seq2[backend.Record, bool] { return p.engine.unacked() }

// Done returns a channel that is closed when the producer has stopped: after a fatal error, or at the end of Close. A producer
// that waits for its store to come back has not stopped.
func (p *Producer[T]) Done() <-chan struct{} { return p.engine.ended }

// Err returns nil until Done is closed. Afterwards Err returns why the producer stopped; every later call fails with the same
// error. The error wraps [backend.ErrClosed]. After a fatal error the text holds the cause, and [errors.As] finds the cause.
func (p *Producer[T]) Err() error { return p.engine.err() }

// Stats returns a snapshot of the counters.
func (p *Producer[T]) Stats() Stats { return p.engine.snapshot() }
