// Package consumer reads typed records from a stream. A consumer decodes records, tracks which records are done, recovers
// from lost connections, and remembers its place in the stream.
//
// # Delivery
//
// Every record is delivered at least once, in the order of the stream. A consumer sees a record again only after a start
// from a checkpoint before the record: after a kill, after a failed save, or after another consumer claimed the key.
// After a lost connection the consumer goes on at the same place, and repeats nothing.
//
// Iteration is the acknowledgement. A record is done when the loop asks for the next record, even if the next record has
// not arrived yet:
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
// After break, return or a panic the record in hand is not done; to mark the record done, call [Message.Ack] before
// leaving the loop. continue acknowledges the record: to stop before a record, use return. In two cases handing a record
// on does not finish it. [Consumer.Pipe] waits until the result of the record is durable. Under [ManualAck] only
// [Message.Ack] marks a record done.
//
// # Errors
//
// Range over both the message and the error. An error comes with a zero message, and a loop over messages alone would
// handle the zero message as a record. Every error of a loop is final and comes once, as the last thing the loop does.
// There is nothing to retry inside the loop, because the consumer has already retried with jittered backoff: reads,
// openings of a reader, claims and saves that failed with [backend.ErrTransient] or [backend.ErrIndeterminate].
//
// An outage of the stream's store or of the checkpoint store, however long, ends no loop: the loop goes on when the store
// is back. [Attempts] sets a limit. The error after the last attempt is not ErrTransient. Only the save at the end of a
// loop has a limit of its own, [DrainTimeout].
//
// An end without an error means: the loop has seen the end of a closed stream or, with [StopAtTail], the tail. When ctx
// ends the loop, the error of ctx is yielded after the final save.
//
// A panic of the codec is raised in the goroutine of the loop, at the record that caused the panic.
//
// # Checkpoints
//
// With [Checkpoint] a consumer first claims its key and then goes on from the stored place. Without Checkpoint, the
// consumer remembers its place only as long as the consumer lives. Places are saved as [CheckpointEvery] says. At the end
// of the loop, whatever ends the loop, the place is saved once more, even when ctx is over: the final save has a time
// budget of its own ([DrainTimeout]). If the final save fails, its error is yielded instead of the error of ctx. The
// error never wraps the error of ctx: otherwise callers that treat a cancelled ctx as success would miss the failure.
// After a break the loop cannot yield an error. Then the error is logged, and becomes the error of the consumer's next
// loop, unless [Consumer.Commit] has saved the place by then or has returned an error of its own.
//
// The checkpoint never passes an unfinished record. The checkpoint does pass everything without work: filtered records,
// empty batches, and skipped poison.
//
// Where records finish out of order, in [Consumer.Process] and under [ManualAck], the checkpoint also lists the done
// records behind its place (Ahead), and the next loop of any kind leaves the listed records out. The list counts records
// from the place on, so the source must return the same records again. If the source filters out other records, or if
// somebody has changed the place by hand, the consumer notices, logs a warning, and lets the rest of the listed records
// run again.
//
// When the loop's body stores a place of [Message.Checkpoint] in its own transaction, the consumer never moves the place
// back. During the loop the consumer saves only between two records, and never while a record is in hand.
// [Consumer.Commit] and the end of the loop may happen while a record is in hand whose place was given out. Then the
// consumer first loads the stored place, and saves nothing if the store holds the place that was given out. Without the
// transaction of the body, a place that was given out prevents no save.
//
// When two consumers use one key, the newer claim wins. The older loop ends with [backend.ErrFenced] at its next save.
//
// # Memory
//
// Reading and decoding run ahead of the loop. [BufferBytes] bounds the unfinished records in memory, and reading stops
// while the buffer is full. Nothing is allocated for a single record: goroutines hand over chunks of up to 256 records.
//
// After one to two seconds at the tail, a loop has no goroutine but the caller's, if the readers of the store are of the kind
// [backend.Notifier]. On S2, two heartbeats must come before, which takes 10 to 30 seconds. The next record starts the goroutines again.
package consumer
