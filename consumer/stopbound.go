package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// A stopBound ends a loop at the place of StopAt or, with StopAtTail, at the tail as it was when the loop began. Without
// a fixed place the loop would run as long as others append faster than the loop reads, and for ever if the loop's own body
// appends to the stream.
type stopBound struct {
	at      backend.Offset // as given to StopAt; Latest: StopAtTail; "": the loop has no bound
	known   bool           // stop was looked up
	stop    backend.Offset // the place where the loop ends; empty when the stream is closed and the loop ends at its end
	reached bool           // the reader has reached stop or the tail, so the loop ends
}

// apply looks up stop in its first call, and cuts off the records of b behind stop in every call. The fetcher calls apply
// before the fetcher hands b on. Therefore records that the loop's body appends are always behind the tail of StopAtTail, even
// when the body appends them at the first batch.
func (t *stopBound) apply(ctx context.Context, f *fetcher, b backend.Batch) (backend.Batch, error) {
	// A batch that has caught up ends at the tail, so no look-up is needed for StopAtTail.
	if !t.known && !(t.at == backend.Latest && b.CaughtUp) {
		if err := t.find(ctx, f, &b); err != nil || t.reached {
			return b, err
		}
	}
	t.reached = b.CaughtUp
	if t.stop == "" {
		return b, nil
	}
	// Offsets cannot be compared, so look for stop among the places of the records: before a record or behind a record.
	for i := range b.Records {
		n := i
		switch t.stop {
		case b.Records[i].Next:
			n++
		case b.Records[i].Offset:
		default:
			continue
		}
		t.reached = true
		if n < len(b.Records) {
			b.Records, b.Next, b.CaughtUp, b.Closed = b.Records[:n:n], t.stop, false, false
		}
		return b, nil
	}
	// stop may also lie behind records that were filtered out at the end of b.
	t.reached = t.reached || b.Next == t.stop
	return b, nil
}

// find looks up stop. first is the first batch of the loop. If the loop begins behind stop, find makes first empty.
func (t *stopBound) find(ctx context.Context, f *fetcher, first *backend.Batch) (err error) {
	t.known, t.stop = true, t.at
	if t.at.Relative() {
		if t.stop, err = f.lookUp(ctx, t.at); err != nil {
			t.known = false // the next reader tries again
			return fmt.Errorf("look up the place %s: %w", t.at, err)
		}
	}
	tailer, ok := f.src.(backend.Tailer)
	if !ok || t.at == backend.Latest || t.stop == "" {
		return nil
	}
	// Offsets cannot be compared, but the numbers of records behind them can: the place with more records behind it comes first.
	begin := first.Next
	if len(first.Records) > 0 {
		begin = first.Records[0].Offset
	}
	end, err := tailer.Tail(ctx, t.stop)
	if err == nil {
		var from backend.Tail
		from, err = tailer.Tail(ctx, begin)
		if t.reached = err == nil && from.Records >= 0 && from.Records < end.Records; t.reached {
			*first = backend.Batch{Next: begin}
		}
	}
	if err != nil {
		t.known = false
		return fmt.Errorf("look up the place %s of StopAt: %w", t.stop, err)
	}
	return nil
}

// lookUp returns the place that a start stands for. It returns an empty offset for the tail of a stream that is closed
// for good.
func (f *fetcher) lookUp(ctx context.Context, start backend.Offset) (backend.Offset, error) {
	r, err := f.open(ctx, start)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := r.Read(ctx)
	if err == io.EOF {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	// The first batch of a reader at a start says which place the start is. If the batch holds records, the place is before the
	// first record: with Latest, the records were appended after the reader was opened.
	at := b.Next
	if len(b.Records) > 0 {
		at = b.Records[0].Offset
	}
	if at == "" || at.Relative() {
		return "", errors.New("the source is faulty: the first batch of a reader does not say at which offset it begins")
	}
	return at, nil
}
