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
// Headers lie behind one another in the same way as values, and marks say where each record ends.
//
//	buf     [ value 0 | value 1 | value 2 | free ]
//	headers [ of record 0 | of record 1 | of record 2 | free ]
type draft struct {
	buf     []byte          // the encoded values; always memory of the draft, never memory of a value
	headers backend.Headers // the bytes of the headers belong to the caller or to the codec
	marks   []mark          // one for each record
	extra   extra           // of the record being offered

	receipts []Receipt // of the records
}

// A mark says where a record of a draft ends.
type mark struct {
	value, headers int
	time           time.Time
}

// drafts serves all producers. A draft holds memory only, and nothing that a synctest bubble could own, so sharing is safe.
var drafts = sync.Pool{New: func() any { return new(draft) }}

// draftBytes is the largest buf that the pool keeps. Most records are smaller, and the memory of a large record must not be
// kept for ever.
const draftBytes = 64 << 10

var errNoAppend = errors.New("the codec did not append: its result does not begin with the bytes it was given")

// An encoder is a codec, with the optional methods of the codec looked up once: looking them up for every record was a
// twelfth of the time of a small record.
type encoder[T any] struct {
	codec.Codec[T]
	headers codec.HeaderCodec[T] // nil: the codec writes no headers
	viewer  codec.Viewer[T]      // nil: the codec must encode
}

func newEncoder[T any](c codec.Codec[T]) encoder[T] {
	e := encoder[T]{Codec: c}
	e.headers, _ = c.(codec.HeaderCodec[T])
	if e.headers == nil {
		e.viewer, _ = c.(codec.Viewer[T])
	}
	return e
}

// encode appends a record to the draft. A codec may return memory that belongs to the value, instead of appending to d.buf. Then
// encode copies the bytes into the draft. Otherwise the next append, and the next call that uses the draft, would write into the
// caller's value.
func (e *encoder[T]) encode(d *draft, r Record[T]) error {
	out, err := e.AppendEncode(d.buf, r.Value)
	if err != nil {
		return &EncodeError{Err: err}
	}
	buf, ok := owned.Append(d.buf, out)
	if !ok {
		return &EncodeError{Err: errNoAppend}
	}
	headers := d.headers
	if e.headers != nil {
		if headers, err = e.headers.AppendHeaders(headers, r.Value); err != nil {
			return &EncodeError{Err: err}
		}
	}
	// The headers of the codec come first: a reader takes the first header of a name, and the codec must find its own.
	d.buf, d.headers = buf, append(headers, r.Headers...)
	d.marks = append(d.marks, mark{value: len(d.buf), headers: len(d.headers), time: r.Time})
	return nil
}

// load returns the value and the extra of the i-th record. The extra is valid until the next load.
func (d *draft) load(i int) ([]byte, *extra) {
	var from mark
	if i > 0 {
		from = d.marks[i-1]
	}
	to := d.marks[i]
	return d.buf[from.value:to.value], d.extraOf(d.headers[from.headers:to.headers], to.time)
}

// extraOf returns an extra in the memory of the draft, or nil for a record without headers and time.
func (d *draft) extraOf(headers backend.Headers, t time.Time) *extra {
	if len(headers) == 0 && t.IsZero() {
		return nil
	}
	d.extra = extra{headers, t}
	return &d.extra
}

// newDraft takes a draft from the pool. free gives it back.
func newDraft() *draft { return drafts.Get().(*draft) }

// waitAll waits for the receipts of a call and returns the failures. When ctx ends, waitAll still asks every receipt, because
// some may be decided already.
func waitAll(ctx context.Context, receipts []Receipt) error {
	var failed []*backend.RecordError
	for i, r := range receipts {
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
	case len(receipts) == 1:
		return failed[0].Err
	}
	return &SendError{Values: len(receipts), Failed: failed}
}

// free gives the draft back to the pool, unless the draft has become large. A mark and a header have 40 bytes each, so the bound
// of draftBytes/8 lets marks and headers take five times the bytes of buf: records of a few bytes need that.
func (d *draft) free() {
	if cap(d.buf) > draftBytes || cap(d.marks) > draftBytes/8 || cap(d.headers) > draftBytes/8 {
		return
	}
	clear(d.receipts) // a pooled draft must not keep latches, batches and headers alive
	clear(d.headers)
	d.buf, d.headers, d.marks, d.receipts = d.buf[:0], d.headers[:0], d.marks[:0], d.receipts[:0]
	d.extra = extra{}
	drafts.Put(d)
}
