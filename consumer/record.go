package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Message is a decoded record. A Message is a value and may be kept. A kept message keeps the bytes of its whole batch
// in memory.
//
// Offset, Next, Headers and Time come from the record. The raw bytes are m.Record.Value.
type Message[T any] struct {
	backend.Record
	Value T

	// run and seq identify the record. All messages of a loop share the run, and the place in the loop is a number: Ack
	// needs no allocation for a record.
	run *run
	seq uint64
}

// Ack marks m done. In a Messages or Batches loop, Ack also marks all records before m done, and is needed only before
// leaving the loop. Under [ManualAck], Ack marks m alone, from any goroutine and in any order, even after the loop has
// ended; then the next [Consumer.Commit] or loop saves the place. In [Consumer.Pipe] the receipt decides, and Ack does
// nothing. Ack of a Message that was not made by a loop does nothing.
func (m Message[T]) Ack() {
	if m.run != nil {
		m.run.ack(m.seq)
	}
}

// Checkpoint returns the place that says: m and all records before m are done. Store the checkpoint in the transaction
// that holds the effect of m. Then both are one commit, which is exactly-once processing.
//
// The consumer's own saves never move a place stored by the body back. While m is not done, a save of a place before m
// first loads the stored place. If the place of m is stored, the consumer saves nothing; otherwise the consumer saves its
// own place. So a place that you asked for and never stored prevents no save. The transaction must have ended when the
// body of the loop calls [Consumer.Commit], asks for the next message, or leaves the loop. If the outcome of a
// transaction is unknown, find out the outcome before you leave the loop.
//
// Checkpoint is empty where records finish out of order: in [Consumer.Pipe] and under [ManualAck]. Checkpoint is also
// empty for a Message that was not made by a loop. Every store refuses to save an empty checkpoint. Without the option
// [Checkpoint], the epoch is 0, the epoch of an unclaimed key.
func (m Message[T]) Checkpoint() checkpoint.Checkpoint {
	if m.run == nil || m.run.mode != inOrder {
		return checkpoint.Checkpoint{}
	}
	storeMax(&m.run.givenOut, m.seq+1)
	cp := checkpoint.Checkpoint{Offset: m.Next, Epoch: m.run.epoch}
	if m.run.resumed {
		// An earlier loop, in which records finished out of order, has finished some of the records that follow.
		cp.Ahead = m.run.track.aheadAt(m.Next, m.seq+1)
	}
	return cp
}

// A DecodeError is a record that the codec could not decode, also called poison. The DecodeError holds the record as
// read: Value is the raw bytes, and Offset is the record's place. To leave the record out, start at Next.
type DecodeError struct {
	backend.Record
	Err error // the error of the codec
}

// Error names the place and the size of the record. It does not show the bytes, because they may be confidential.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("consumer: decode record at %q (%d bytes): %v", e.Offset, len(e.Value), e.Err)
}

// Unwrap returns the error of the codec.
func (e *DecodeError) Unwrap() error { return e.Err }

// A DeadLetter is a record that could not be processed, with what an operator needs to find the reason and to process
// the record again.
type DeadLetter struct {
	Value   []byte // the bytes as they were read
	Headers backend.Headers
	Offset  backend.Offset // the place in the stream that the record was read from
	Time    time.Time      // of the record, where the store keeps times
	// Consumer is the key of the checkpoint, which holds the stream's name; "" without Checkpoint.
	Consumer string
	// Attempts is the number of attempts of a handler. It is 0 for a record that could not be decoded, and for a record
	// that the destination of a Pipe refused.
	Attempts int
	Cause    string // the text of the last error
}

// deadLetter returns the dead letter of r, which failed with cause. consumer is the key of the checkpoint.
func deadLetter(r *backend.Record, consumer string, cause error) DeadLetter {
	return DeadLetter{Value: r.Value, Headers: r.Headers, Offset: r.Offset, Time: r.Time, Consumer: consumer, Cause: cause.Error()}
}

// A letterbox is a Producer[DeadLetter], or a replacement in a test. Send returns when the letters are durable.
type letterbox interface {
	Send(context.Context, ...DeadLetter) error
}

// carefulLetters returns a panic of Send as an error.
type carefulLetters struct{ to letterbox }

func (c carefulLetters) Send(ctx context.Context, letters ...DeadLetter) (err error) {
	defer panicToError(&err)
	return c.to.Send(ctx, letters...)
}
