// Package consumer reads typed records from a stream: it decodes, acknowledges, recovers and remembers where it is.
//
// # Delivery
//
// Every record is delivered at least once, in the order of the stream. A record is seen again only when a consumer
// starts from a checkpoint that lies before it: after a kill, after a save that failed, or after another consumer took
// the key. What a lost connection interrupted goes on where it was, without repeating anything.
//
// Iteration is the acknowledgement. A record is done when the loop asks for the next one, also while it waits for it:
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
// break, return and a panic leave the record in hand undone; [Message.Ack] before leaving keeps it. continue
// acknowledges: to stop before a record, return. A record is done in other ways where handing it on is not finishing
// it: [Consumer.Pipe] waits until what became of it is durable, and under [ManualAck] only [Message.Ack] marks it.
//
// # Errors
//
// Range over both the message and the error: an error comes with a zero message, and a loop over messages alone would handle
// that as a record. Every error that a loop yields is final and comes once: it is the last thing the loop does, and there is nothing to
// retry inside the loop. What can be retried was, with jittered backoff: reads, openings, claims and saves that failed
// with [backend.ErrTransient] or [backend.ErrIndeterminate]. So an outage of the stream's store or of the checkpoint store
// ends no loop: it goes on when the store is back, however long that takes. [Attempts] sets a limit, and the error after
// the last attempt is not ErrTransient. Only the save at the end of a loop has a limit of its own, [DrainTimeout].
//
// A loop that ends without an error has seen the end of a
// closed stream or, with [StopAtTail], the tail. When ctx ends the loop, its error is yielded, after the final save.
//
// A panic of the codec is raised in the goroutine of the loop, at the record that caused it.
//
// # Checkpoints
//
// With [Checkpoint] a consumer begins by claiming its key and goes on from the place stored there; without one it
// remembers its place as long as it lives. Places are saved as [CheckpointEvery] says, and once more at the end of the
// loop, however it ends, even when ctx is over: that save has a budget of its own ([DrainTimeout]). When it fails, its
// error comes instead of ctx's and is never wrapped with it, so that treating a cancelled ctx as success hides nothing.
// A loop that was left early cannot yield it: then it is logged and is the error of the consumer's next loop, unless
// [Consumer.Commit] has saved the place by then or said why it still cannot.
//
// The checkpoint never passes a record that is not done. It does pass what left nothing to do: filtered records, empty
// batches, poison that was skipped.
//
// A place that the loop's body stores with [Message.Checkpoint] in its own transaction is never moved back. During the loop
// the consumer saves only between two records, never beside one in hand. [Consumer.Commit] and the end of the loop may find
// a record in hand whose place was given out: they look into the store and save nothing if that place is stored there.
// A place that was given out and not stored holds back no save.
//
// Two consumers on one key: the newer claim wins, and the older loop ends with [backend.ErrFenced] at its next save.
//
// # Memory
//
// Reading and decoding run ahead of the loop. [BufferBytes] bounds everything that was read and is not done; reading
// stops while it is full. Nothing is allocated per record: goroutines hand over chunks of up to 256 records.
package consumer
