package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// errNoTail says that a store did not tell its tail.
var errNoTail = errors.New("the first batch of a reader at the tail names no place")

// A bound ends a loop with StopAtTail at the tail as of the loop's beginning. Without it the loop would run on for as long
// as others write faster than it reads, or for ever if its own body appends to the stream.
type bound struct {
	known  bool           // the tail was looked up
	tail   backend.Offset // "": the stream is closed and its end is the tail
	passed bool
}

// apply looks up the tail if that is still to be done, and cuts off what b holds behind it. It is called before b is handed
// on, so nothing that the body appends for the records of the first batch is before the tail.
func (t *bound) apply(ctx context.Context, f *fetcher, b backend.Batch) (backend.Batch, error) {
	if !t.known && !b.CaughtUp {
		tail, err := f.lookUpTail(ctx)
		if err != nil {
			return b, fmt.Errorf("look up the tail: %w", err)
		}
		t.known, t.tail = true, tail
	}
	t.passed = b.CaughtUp
	if t.tail == "" {
		return b, nil
	}
	for i := range b.Records {
		n := i
		switch t.tail {
		case b.Records[i].Next:
			n++
		case b.Records[i].Offset:
		default:
			continue
		}
		t.passed = true
		if n < len(b.Records) {
			b.Records, b.Next, b.CaughtUp = b.Records[:n:n], t.tail, false
		}
		return b, nil
	}
	t.passed = t.passed || b.Next == t.tail
	return b, nil
}

// lookUpTail returns the place behind the last record, "" if the stream is closed for good.
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
	at := b.Next
	if len(b.Records) > 0 {
		at = b.Records[0].Offset
	}
	if at == "" || at.Relative() {
		return "", errNoTail
	}
	return at, nil
}
