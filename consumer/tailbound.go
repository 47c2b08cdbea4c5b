package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// errNoTail is returned when a store does not say where its tail is.
var errNoTail = errors.New("the source is faulty: the first batch of a reader at Latest does not say at which offset it begins")

// A tailBound ends a loop with StopAtTail at the tail as it was when the loop began. Without a fixed tail the loop
// would run as long as others append faster than the loop reads. It would run for ever if its own body appends to the
// stream.
type tailBound struct {
	known   bool           // the tail was looked up
	tail    backend.Offset // the place behind the last record; empty when the stream is closed and its end is the tail
	reached bool           // the reader has passed the tail, so the loop ends
}

// apply looks up the tail if that was not done before, and cuts off the records of b behind the tail. The fetcher calls
// apply before it hands b on, so the tail is always before the records that the loop's body appends, even for the
// records of the first batch.
func (t *tailBound) apply(ctx context.Context, f *fetcher, b backend.Batch) (backend.Batch, error) {
	// A batch that has caught up ends at the tail, so no look-up is needed.
	if !t.known && !b.CaughtUp {
		tail, err := f.lookUpTail(ctx)
		if err != nil {
			return b, fmt.Errorf("look up the tail: %w", err)
		}
		t.known, t.tail = true, tail
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

// lookUpTail returns the place behind the last record. It returns an empty offset if the stream is closed for good.
func (f *fetcher) lookUpTail(ctx context.Context) (backend.Offset, error) {
	r, err := f.open(ctx, backend.Latest)
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
	// The first batch of a reader at Latest names the tail. If it already holds records, they were appended after the
	// reader was opened, and the tail is before the first.
	at := b.Next
	if len(b.Records) > 0 {
		at = b.Records[0].Offset
	}
	if at == "" || at.Relative() {
		return "", errNoTail
	}
	return at, nil
}
