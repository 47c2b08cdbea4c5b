package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/internal/owned"
)

// A Record is a value with what travels beside it. Headers and times are kept where the store keeps them; a store that
// does not refuses headers and assigns its own times. Headers are copied.
type Record[T any] struct {
	Value   T
	Headers backend.Headers
	Time    time.Time // zero: the store assigns it
}

// A draft is the memory of one call: values are encoded into it outside every lock and copied from it into the batch.
type draft struct {
	buf  []byte         // the encoded values; always memory of the draft, never of a value
	ends []int          // of each value in buf
	rec  backend.Record // the one being offered; a field, because the store's meter takes its address

	receipts []Receipt // of the values
}

// Drafts hold memory only, nothing that a synctest bubble could own, so one pool serves all producers.
var drafts = sync.Pool{New: func() any { return new(draft) }}

// draftBytes bounds what the pool retains: most records are smaller, and a large one must not be kept for ever.
const draftBytes = 64 << 10

var errNoAppend = errors.New("the codec did not append: its result does not begin with what it was given")

// encode appends a value to the draft. The next value goes behind it and the next call over it, so a result in memory
// that may be the value's own is copied.
func encode[T any](d *draft, c codec.Codec[T], v T) error {
	out, err := c.AppendEncode(d.buf, v)
	if err != nil {
		return err
	}
	var ok bool
	if d.buf, ok = owned.Append(d.buf, out); !ok {
		return errNoAppend
	}
	return nil
}

// value returns the i-th value in buf.
func (d *draft) value(i int) []byte {
	first := 0
	if i > 0 {
		first = d.ends[i-1]
	}
	return d.buf[first:d.ends[i]]
}

// wait waits for the receipts of the call and returns what failed.
func (d *draft) wait(ctx context.Context) error {
	var failed []*backend.RecordError
	for i, r := range d.receipts {
		err := r.latch.wait(ctx)
		if err != nil {
			err = fmt.Errorf("producer: accepted, but not confirmed: %w: %w", backend.ErrIndeterminate, err)
		} else {
			_, err = r.latch.result(r.index)
		}
		if err != nil {
			failed = append(failed, &backend.RecordError{Index: i, Err: err})
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(d.receipts) == 1:
		return failed[0].Err
	}
	return &SendError{Values: len(d.receipts), Failed: failed}
}

func (d *draft) free() {
	if cap(d.buf) > draftBytes || cap(d.ends) > draftBytes/8 {
		return
	}
	clear(d.receipts)
	d.buf, d.ends, d.receipts = d.buf[:0], d.ends[:0], d.receipts[:0]
	d.rec.Value, d.rec.Headers, d.rec.Time = nil, nil, time.Time{} // all that is ever set
	drafts.Put(d)
}
