package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

// offer encodes a value and gives it to the batcher. Nearly every call of Enqueue takes this way. It needs no [backend.Record], whose
// 104 bytes would be written and read several times, and no draft when the value holds its own encoding (the codec is a Viewer).
func (p *Producer[T]) offer(ctx context.Context, v T, try bool) (Receipt, error) {
	if p.encoder.viewer == nil {
		return p.offerEncoded(ctx, Record[T]{Value: v}, try)
	}
	value, err := p.encoder.viewer.View(v)
	if err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", &EncodeError{Err: err})
	}
	return p.put(ctx, value, nil, try)
}

// offerRecord is offer for a value with headers and a time.
func (p *Producer[T]) offerRecord(ctx context.Context, r Record[T], try bool) (Receipt, error) {
	if p.encoder.viewer == nil {
		return p.offerEncoded(ctx, r, try)
	}
	value, err := p.encoder.viewer.View(r.Value)
	if err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", &EncodeError{Err: err})
	}
	return p.putWith(ctx, value, r.Headers, r.Time, try)
}

// offerEncoded encodes a record into a draft, and gives it to the batcher.
func (p *Producer[T]) offerEncoded(ctx context.Context, r Record[T], try bool) (Receipt, error) {
	d := newDraft()
	defer d.free()
	if err := p.encoder.encode(d, r); err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	value, x := d.load(0)
	return p.put(ctx, value, x, try)
}

// putWith is put for a record that may have headers and a time.
func (p *Producer[T]) putWith(ctx context.Context, value []byte, headers backend.Headers, t time.Time, try bool) (Receipt, error) {
	if len(headers) == 0 && t.IsZero() {
		return p.put(ctx, value, nil, try)
	}
	d := newDraft()
	defer d.free()
	return p.put(ctx, value, d.extraOf(headers, t), try)
}

// put gives a record to the batcher, which copies the value and the extra. x may be nil. With try, put never blocks.
func (p *Producer[T]) put(ctx context.Context, value []byte, x *extra, try bool) (Receipt, error) {
	size, err := p.meter(value, x)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("nothing was accepted: %w", ctx.Err())
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("producer: %w", err)
	}
	e := entry{value, x}
	var b *batch
	var i int
	if try {
		b, i, err = p.engine.queue.TryPut(&e, size, bufferedBytes(value, x))
	} else {
		b, i, err = p.engine.queue.Put(ctx, &e, size, bufferedBytes(value, x))
	}
	if err != nil {
		return Receipt{}, notAccepted(err)
	}
	return Receipt{latch: b.Companion.latch, index: i}, nil
}

// notAccepted is the error of a record that the batcher did not take.
func notAccepted(err error) error {
	switch {
	case errors.Is(err, batcher.ErrTooLarge):
		return fmt.Errorf("producer: %w: %w", backend.ErrTooLarge, err)
	case errors.Is(err, ErrFull):
		return fmt.Errorf("producer: %w", err)
	}
	return err
}

// meter returns the size of a record by the store's meter. meter refuses a record that the store can never hold, because such a
// record would only fail after the batch around it was refused and cut.
func (p *Producer[T]) meter(value []byte, x *extra) (int, error) {
	l := p.engine.limits.Load()
	size, err := len(value), error(nil)
	switch { // as Limits.Meter does for a Record
	case l.Size == nil:
	case x == nil:
		size, err = l.Size(value, nil, time.Time{})
	default:
		size, err = l.Size(value, x.headers, x.time)
	}
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
