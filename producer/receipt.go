package producer

import (
	"context"
	"errors"

	"github.com/headrace/headrace/backend"
)

// A Receipt stands for one accepted record. It is a value: copy it, keep it, wait for it as often as you like, from any
// number of goroutines. All receipts of a batch share one latch, so a receipt costs nothing of its own.
//
// The zero Receipt stands for no record: it is what Enqueue returns beside an error. Its Wait is an error, and a consumer's
// Pipe refuses it, because whoever overlooked the error of Enqueue would lose the record. [Skip] says on purpose that
// there is no record.
type Receipt struct {
	latch *latch
	index int // of the record under the latch
}

var errNoReceipt = errors.New("producer: wait on a zero Receipt: it stands for no record")

// Skip is the Receipt of a record that was filtered out. A function that is given to a consumer's Pipe returns it instead of
// the Receipt of Enqueue. Its Wait is an error, because nothing was stored.
var Skip = Receipt{latch: &latch{done: closedChan(), spans: []span{{n: 1, err: errSkipped}}}}

var errSkipped = errors.New("producer: wait on Skip: it stands for a record that was filtered out")

// Wait returns where the record is once it is durable, "" where the store gives no offset per record, or why it never
// will be. When ctx ends first, Wait returns ctx's error alone and the record's fate is open: ask again.
func (r Receipt) Wait(ctx context.Context) (backend.Offset, error) {
	if r.latch == nil {
		return "", errNoReceipt
	}
	if err := r.latch.wait(ctx); err != nil {
		return "", err
	}
	return r.latch.result(r.index)
}

// Done is closed when Wait would return at once. On a zero Receipt it is closed.
func (r Receipt) Done() <-chan struct{} {
	if r.latch == nil {
		return closedChan()
	}
	r.latch.want()
	return r.latch.done
}

// Resolved returns a Receipt that is decided: off and err are what its Wait returns. It is for fakes of a producer.
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
