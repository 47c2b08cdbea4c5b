package producer

import (
	"testing"

	"github.com/headrace/headrace/backend"
)

// Many small batches in flight are a normal state of a store without a limit. If each ack moved all those behind it, acks
// would cost the square of that.
func TestAnAckMovesFewOfTheBatchesBehindIt(t *testing.T) {
	const inFlight, acks = 1000, 10_000
	var w window
	var limits backend.Limits
	moved := 0
	push := func() {
		before := w.parts
		w.push(&batchData{batch: new(batch), made: new(make([]backend.Record, 1))}, &limits)
		if len(before) > 0 && &before[0] != &w.parts[0] {
			moved += len(before)
		}
	}
	for range inFlight {
		push()
	}
	for range acks {
		second := &w.parts[1]
		w.sent = len(w.parts)
		w.pop(1)
		if second != &w.parts[0] {
			moved += len(w.parts)
		}
		push()
	}
	if moved > 3*(inFlight+acks) {
		t.Errorf("%d acks with %d batches in flight moved %d of them", acks, inFlight, moved)
	}
	held := w.parts[:1]
	w.pop(1)
	if held[0].batchData != nil {
		t.Error("a decided batch is still held")
	}
}
