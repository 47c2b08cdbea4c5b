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

// A draft is the memory of a single call of Send or Enqueue. The call encodes its values into the draft with no lock held; the
// batcher then copies the bytes from the draft into a batch, with its lock held. So the lock is never held while a codec runs.
//
//	buf   [ value 0 | value 1 | value 2 | free ]
//	ends            ^         ^         ^
type draft struct {
	buf  []byte         // the encoded values; always memory of the draft, never memory of a value
	ends []int          // the end of each value in buf
	rec  backend.Record // the record being offered; a field, because the store's meter takes the address

	receipts []Receipt // of the values
}

// drafts serves all producers. A draft holds memory only, and nothing that a synctest bubble could own, so sharing is safe.
var drafts = sync.Pool{New: func() any { return new(draft) }}

// draftBytes is the largest buf that the pool keeps. Most records are smaller, and the memory of a large record must not be
// kept for ever.
const draftBytes = 64 << 10

var errNoAppend = errors.New("the codec did not append: its result does not begin with the bytes it was given")

// encode appends a value to the draft. A codec may return memory that belongs to the value; then the bytes are copied into the
// draft, because the next value is appended behind, the next call overwrites the bytes, and both would write into the
// caller's value.
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

// wait waits for the receipts of the call and returns the failures. When ctx ends, wait still asks every receipt, because some
// may be decided already.
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

// free gives the draft back to the pool, unless the draft has become large.
func (d *draft) free() {
	if cap(d.buf) > draftBytes || cap(d.ends) > draftBytes/8 {
		return
	}
	clear(d.receipts) // a pooled draft must not keep latches and batches alive
	d.buf, d.ends, d.receipts = d.buf[:0], d.ends[:0], d.receipts[:0]
	d.rec.Value, d.rec.Headers, d.rec.Time = nil, nil, time.Time{} // no other field of rec is ever set
	drafts.Put(d)
}
