package consumer

import (
	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Message is a decoded record. It is a value and may be kept; it then pins the bytes of the batch it was read in.
//
// Offset, Next, Headers and Time are those of the record. The raw bytes are m.Record.Value.
type Message[T any] struct {
	backend.Record
	Value T

	// Together they cost no allocation a record: the loop is shared, the place in it is a number.
	run *run
	seq uint64
}

// Ack marks m done. In a Messages or Batches loop it acknowledges all before m too, and is only needed before leaving
// the loop. Under [ManualAck] it marks m alone, from any goroutine and in any order, also after the loop has ended: the
// next [Consumer.Commit] or loop saves it. In [Consumer.Pipe] the receipt decides and Ack does nothing, as on a Message
// made by hand.
func (m Message[T]) Ack() {
	if m.run != nil {
		m.run.ack(m.seq)
	}
}

// Checkpoint says that m and all before it are done. Store it in the transaction that holds the effect of m and both are
// one commit: exactly-once processing.
//
// The consumer's own saves never move a stored place back. While m is not done, a save of a place before m first looks
// into the store: if the place of m is stored there, the consumer saves nothing, and else it saves its own. So a place
// that was asked for and never stored holds back no save. For this the transaction must have ended when the body of the
// loop calls [Consumer.Commit], asks for the next message or leaves the loop. If the outcome of a transaction is unknown,
// find it out before you leave the loop.
//
// Checkpoint is empty where records finish out of order, in [Consumer.Pipe] and under [ManualAck], and on a Message made by
// hand: every store refuses to save an empty checkpoint. Without [Checkpoint] its epoch is 0, that of a key that nobody
// has claimed.
func (m Message[T]) Checkpoint() checkpoint.Checkpoint {
	if m.run == nil || m.run.mode != inOrder {
		return checkpoint.Checkpoint{}
	}
	raise(&m.run.given, m.seq+1)
	return checkpoint.Checkpoint{Offset: m.Next, Epoch: m.run.epoch}
}
