package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// errNoTail is returned when a store does not say which place a start is.
var errNoTail = errors.New("the source is faulty: the first batch of a reader does not say at which offset it begins")

// A tailBound ends a loop at the place of StopAt or, with StopAtTail, at the tail as it was when the loop began. Without
// a fixed tail the loop would run as long as others append faster than the loop reads. It would run for ever if its own
// body appends to the stream.
type tailBound struct {
	at      backend.Offset // of StopAt; Latest: StopAtTail; "": the loop has no bound
	known   bool           // the place was looked up
	tail    backend.Offset // the place behind the last record; empty when the stream is closed and its end is the tail
	reached bool           // the reader has passed the tail, so the loop ends
}

// The first call of apply looks up the tail. Every call cuts off the records of b behind the tail. The fetcher calls
// apply before handing b on. Therefore the tail is always before records appended by the loop's body, even in the first
// batch.
func (t *tailBound) apply(ctx context.Context, f *fetcher, b backend.Batch) (backend.Batch, error) {
	// A batch that has caught up ends at the tail, so no look-up is needed for StopAtTail.
	if !t.known && !(t.at == backend.Latest && b.CaughtUp) {
		if err := t.find(ctx, f, &b); err != nil || t.reached {
			return b, err
		}
	}
	t.reached = b.CaughtUp
	if t.tail == "" {
		return b, nil
	}
	// Offsets cannot be compared, so look for the tail among the places of the records: before a record or behind it.
	for i := range b.Records {
		n := i
		switch t.tail {
		case b.Records[i].Next:
			n++
		case b.Records[i].Offset:
		default:
			continue
		}
		t.reached = true
		if n < len(b.Records) {
			b.Records, b.Next, b.CaughtUp, b.Closed = b.Records[:n:n], t.tail, false, false
		}
		return b, nil
	}
	// The tail may also lie behind records that were filtered out at the end of b.
	t.reached = t.reached || b.Next == t.tail
	return b, nil
}

// find looks up where the loop ends. first is the first batch of the loop; find empties it if the loop begins behind its
// end.
func (t *tailBound) find(ctx context.Context, f *fetcher, first *backend.Batch) (err error) {
	t.known, t.tail = true, t.at
	if t.at.Relative() {
		if t.tail, err = f.lookUp(ctx, t.at); err != nil {
			t.known = false // the next reader tries again
			return fmt.Errorf("look up the place %s: %w", t.at, err)
		}
	}
	tailer, ok := f.src.(backend.Tailer)
	if !ok || t.at == backend.Latest || t.tail == "" {
		return nil
	}
	// Offsets cannot be compared, but what lies behind them can.
	begin := first.Next
	if len(first.Records) > 0 {
		begin = first.Records[0].Offset
	}
	end, err := tailer.Tail(ctx, t.tail)
	if err == nil {
		var from backend.Tail
		from, err = tailer.Tail(ctx, begin)
		if t.reached = err == nil && from.Records >= 0 && from.Records < end.Records; t.reached {
			*first = backend.Batch{Next: begin}
		}
	}
	if err != nil {
		t.known = false
		return fmt.Errorf("look up the place %s of StopAt: %w", t.tail, err)
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
	// The first batch of a reader at a start names the place. If it holds records, the place is before the first: at
	// Latest they were appended after the reader was opened.
	at := b.Next
	if len(b.Records) > 0 {
		at = b.Records[0].Offset
	}
	if at == "" || at.Relative() {
		return "", errNoTail
	}
	return at, nil
}
