// Package producer writes typed values to a stream: batched, acknowledged and in order.
//
// # Delivery
//
// A record that was accepted is sent until the store has acknowledged it, refused it for good, or the producer stops
// with an error that says so. Nothing is dropped in silence: every accepted record has a [Receipt], and [Producer.Flush]
// and [Producer.Close] return the first failure whether or not anybody waited for it; of several that wait at the same
// time each returns every failure of what was accepted before it.
//
//   - By default delivery is at least once: after a lost reply the batches not acknowledged are sent again. Where the
//     store knows a resend by its seq, each record is in the log exactly once all the same; see the table in each
//     backend's documentation. [AtMostOnce] stops with [backend.ErrIndeterminate] where a resend might store twice.
//   - Records are stored in the order in which they were accepted. A replay may repeat a suffix of what was stored; it
//     never reorders first copies.
//   - A context bounds a wait. It never takes back a record that was accepted: a [Producer.Send] that its context ends
//     after that wraps [backend.ErrIndeterminate], and the record is still sent.
//   - A record that the store refuses ([backend.ErrRejected], [backend.ErrTooLarge]) fails its own receipt. The batch
//     around it is cut until the culprit stands alone, and the others go on in order. Any number of records may be refused;
//     [RefusedInARow] stops the producer at a store that refuses everything.
//   - While the store cannot be reached the producer tries again, for as long as that takes: what was accepted waits in
//     the buffer, and when that is full callers block until their context ends ([ErrFull]). [Attempts] sets an end.
//   - After a fatal error every receipt that is pending and every later call fails with it. The error is final: it wraps
//     [backend.ErrClosed] and never [backend.ErrTransient]. [Producer.Done] and [Producer.Err] tell of it, for example to
//     a readiness probe. [Producer.Unacked] yields what was never confirmed, to be offered to another producer.
//
// # Batching
//
// A batch goes when the first of these holds it up:
//
//	reason   when                                                                option         default
//	full     the next record would exceed the batch                              BatchRecords   10,000
//	                                                                             BatchBytes     1 MiB
//	full     a caller is blocked because the buffer is full                      BufferBytes    32 MiB
//	wanted   someone waits (Send, a Receipt, Flush) and nothing is in flight
//	linger   its first record has waited long enough                             Linger         5 ms
//	flush    Flush, Close
//
// The store's own limits apply too, whichever is less. So a lone Send costs a round trip and no linger, senders that wait
// at the same time share batches, and a busy producer fills batches without ever seeing the linger. What the store can
// have in flight is bounded by the store; what the producer holds is bounded by BufferBytes, reserved before a record
// is accepted and released when it is decided.
//
// # Sessions
//
// A session with the store that ends is opened again when something waits to be sent, after a jittered exponential
// backoff ([Backoff], 50 ms to 5 s, never less than the store asks for). The producer logs a warning when the second
// attempt in a row has failed, which begins an outage, and one when the store answers again. With [Attempts] it stops after
// so many attempts in a row without progress; progress is an ack, or a session that lived for longer than 5 s and the
// longest backoff.
package producer
