package producer

import (
	"context"
	"errors"

	"github.com/headrace/headrace/backend"
)

// A Receipt stands for an accepted record. A Receipt is a value: any number of goroutines may copy it, keep it, and wait for
// it, as often as they like. All receipts of a batch share a latch, so a receipt allocates nothing.
//
// The zero Receipt stands for no record: Enqueue returns the zero Receipt beside an error. Wait of a zero Receipt is an error,
// and a consumer's Pipe refuses a zero Receipt, because a caller who overlooks the error of Enqueue would lose the record.
// [Skip] says on purpose that there is no record.
type Receipt struct {
	latch *latch
	index int // of the record in the batch
}

var errNoReceipt = errors.New("producer: wait on a zero Receipt: it stands for no record; check the error of Enqueue")

// Skip is the Receipt of a record that was filtered out. A function given to a consumer's Pipe returns Skip instead of the
// Receipt of Enqueue. Wait of Skip is an error, because nothing was stored.
var Skip = Receipt{latch: &latch{done: closedChan(), spans: []span{{n: 1, err: errSkipped}}}}

var errSkipped = errors.New("producer: wait on Skip: it stands for a record that was filtered out")

// Wait waits until the record is decided. For a durable record Wait returns the offset of the record, or "" when the store
// gives no offset per record. Otherwise the error says why the record will never be durable. When ctx ends first, Wait
// returns the error of ctx alone; the record is not decided yet, and Wait may be called again.
func (r Receipt) Wait(ctx context.Context) (backend.Offset, error) {
	if r.latch == nil {
		return "", errNoReceipt
	}
	if err := r.latch.wait(ctx); err != nil {
		return "", err
	}
	return r.latch.result(r.index)
}

// WaitFirst waits until the first of the receipts is decided. It returns how many receipts are known to be durable then, from
// the first one on without a gap: often a whole batch, at the cost of a single wait. When the first receipt is not durable,
// WaitFirst returns 0 and the error that its Wait returns. [Skip] counts as durable, because there is nothing to wait for.
// Without receipts WaitFirst returns 0 at once.
//
// WaitFirst does not ask the store's offsets, which cost an allocation a record with most stores.
func WaitFirst(ctx context.Context, receipts []Receipt) (durable int, err error) {
	for n := 0; n < len(receipts); {
		l := receipts[n].latch
		switch {
		case l == Skip.latch:
			n++
			continue
		case l == nil && n == 0:
			return 0, errNoReceipt
		case l == nil || n > 0 && !l.open():
			return n, nil
		}
		if err := l.wait(ctx); err != nil { // returns at once behind the first receipt
			return n, err
		}
		for ; n < len(receipts) && receipts[n].latch == l; n++ {
			if err := l.span(receipts[n].index).err; err != nil && n > 0 {
				return n, nil
			} else if err != nil {
				return 0, err
			}
		}
	}
	return len(receipts), nil
}

// Done returns a channel that is closed when Wait would return at once. The channel of a zero Receipt is closed.
func (r Receipt) Done() <-chan struct{} {
	if r.latch == nil {
		return closedChan()
	}
	r.latch.want() // whoever asks for the channel waits, so the batch must not linger
	return r.latch.done
}

// Resolved returns a Receipt that is decided already: its Wait returns off and err. Resolved is for fakes of a producer.
func Resolved(off backend.Offset, err error) Receipt {
	l := &latch{done: closedChan()}
	l.spans = []span{{n: 1, err: err, offsetOf: func(int) backend.Offset { return off }}}
	return Receipt{latch: l}
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
