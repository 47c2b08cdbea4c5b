// Package consumer reads typed records from a stream: it decodes them, tracks which are done, recovers from lost
// connections, and remembers its place in the stream.
//
// # Delivery
//
// Every record is delivered at least once, in the order of the stream. A consumer sees a record again only when it
// starts from a checkpoint before that record: after it was killed, after a save that failed, or after another consumer
// claimed the key. After a lost connection the consumer goes on where it was, and repeats nothing.
//
// Iteration is the acknowledgement. A record is done when the loop asks for the next one, even if no next one has
// arrived yet:
//
//	for m, err := range c.Messages(ctx) {
//		if err != nil {
//			return err // final: the loop is over
//		}
//		if err := handle(m.Value); err != nil {
//			return err // m is not done and comes again
//		}
//	}
//
// After break, return or a panic the record in hand is not done; call [Message.Ack] before leaving the loop to mark it
// done. continue acknowledges the record: to stop before a record, use return. In two cases handing a record on does
// not finish it. [Consumer.Pipe] waits until the result of the record is durable. Under [ManualAck] only [Message.Ack]
// marks a record done.
//
// # Errors
//
// Range over both the message and the error. An error comes with a zero message, and a loop over messages alone would
// handle the zero message as a record. Every error that a loop yields is final and comes once, as the last thing the
// loop does. There is nothing to retry inside the loop, because the consumer has already retried what can be retried,
// with jittered backoff: reads, openings of a reader, claims and saves that failed with [backend.ErrTransient] or
// [backend.ErrIndeterminate].
//
// So an outage of the stream's store or of the checkpoint store ends no loop: the loop goes on when the store is back,
// however long that takes. [Attempts] sets a limit. The error after the last attempt is not ErrTransient. Only the save
// at the end of a loop has a limit of its own, [DrainTimeout].
//
// A loop that ends without an error has seen the end of a closed stream or, with [StopAtTail], the tail. When ctx ends
// the loop, the error of ctx is yielded after the final save.
//
// A panic of the codec is raised in the goroutine of the loop, at the record that caused the panic.
//
// # Checkpoints
//
// With [Checkpoint] a consumer first claims its key and then goes on from the place that is stored there. Without it,
// the consumer remembers its place only as long as it lives. Places are saved as [CheckpointEvery] says. The place is
// saved once more at the end of the loop, whatever ends the loop, even when ctx is over: that save has a time budget of
// its own ([DrainTimeout]). If the final save fails, its error is yielded instead of the error of ctx and never wraps
// the error of ctx, so that code which treats a cancelled ctx as success does not hide the failure. A loop that was
// left early cannot yield an error. Then the error is logged, and it is the error of the consumer's next loop, unless
// [Consumer.Commit] has saved the place by then or has returned an error of its own.
//
// The checkpoint never passes a record that is not done. It does pass what needs no work: filtered records, empty
// batches, and poison that was skipped.
//
// Where records finish out of order, in [Consumer.Process] and under [ManualAck], the checkpoint also lists the records
// behind its place that are done (Ahead), and the next loop leaves them out, whatever kind of loop it is. They are
// counted, so the source must return the same records from that place on. Where it does not, because it filters out
// other records or because somebody has changed the place by hand, the consumer notices, logs a warning, and lets the
// rest of the listed records run again.
//
// The consumer never moves back a place that the loop's body has stored with [Message.Checkpoint] in its own
// transaction. During the loop the consumer saves only between two records, and never while one is in hand.
// [Consumer.Commit] and the end of the loop may happen while a record is in hand whose place was given out. Then they
// load what the store holds, and save nothing if that place is stored there. A place that was given out and not stored
// prevents no save.
//
// When two consumers use one key, the newer claim wins. The older loop ends with [backend.ErrFenced] at its next save.
//
// # Memory
//
// Reading and decoding run ahead of the loop. [BufferBytes] bounds everything that was read and is not done, and
// reading stops while the buffer is full. Nothing is allocated for a single record: goroutines hand over chunks of up
// to 256 records.
package consumer
