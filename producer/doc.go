// Package producer writes typed values to a stream: in batches, acknowledged and in order.
//
// # Delivery
//
// The producer sends an accepted record until the store has acknowledged the record, until the store has refused the record
// for good, or until the producer stops with an error. Nothing is dropped in silence: every accepted record has a [Receipt],
// and [Producer.Flush] and [Producer.Close] report the failures since the previous Flush, even when nobody waited for a
// receipt: their error is the first failure, and says how many records failed. When several goroutines call Flush or Close at
// the same time, each call reports all failures among the records accepted before the call.
//
//   - By default delivery is at least once: after a lost reply the producer sends every batch again that was not
//     acknowledged. A store that recognizes a resend by its seq still keeps each record exactly once; see the table in each
//     backend's documentation. With [AtMostOnce] the producer stops with [backend.ErrIndeterminate] instead of a resend
//     that might store records twice.
//   - Records are stored in the order in which they were accepted. A replay may repeat the last records that were stored, but
//     never reorders first copies.
//   - A context bounds a wait. A context never takes back an accepted record: when the context of a [Producer.Send] ends after
//     records were accepted, the error wraps [backend.ErrIndeterminate], and the records are still sent.
//   - A record refused by the store ([backend.ErrRejected], [backend.ErrTooLarge]) fails its own receipt only. The producer
//     cuts the batch until the refused record stands alone, and the other records go on in order. Any number of records may
//     be refused; [RefusedInARow] stops the producer when the store refuses everything.
//   - While the store cannot be reached, the producer tries again without limit: accepted records wait in the buffer, and when
//     the buffer is full, callers block until their context ends ([ErrFull]). [Attempts] sets a limit.
//   - After a fatal error every pending receipt and every later call fails with the error. The error is final: it wraps
//     [backend.ErrClosed] and never [backend.ErrTransient]. [Producer.Done] and [Producer.Err] report the error, for example
//     to a readiness probe. [Producer.Unacked] yields the records that were never confirmed, so that the caller can give
//     them to another producer.
//
// # Batching
//
// The first of these reasons sends a batch:
//
//	reason   when                                                                option         default
//	full     the next record would exceed the batch                              BatchRecords   10,000
//	                                                                             BatchBytes     1 MiB
//	full     a caller is blocked because the buffer is full                      BufferBytes    32 MiB
//	wanted   someone waits (Send, a Receipt) and nothing is in flight
//	linger   the first record of the batch has waited long enough                Linger         5 ms
//	flush    Flush, Close
//
// The limits of the store apply too; the smaller limit counts. These rules have three effects. A lone Send costs a round trip
// and no linger. Senders who wait at the same time share batches. A busy producer fills batches and never waits for the
// linger. The store bounds the number of batches in flight. BufferBytes bounds the memory of the producer: the producer
// reserves memory before a record is accepted, and releases the memory when the record is decided.
//
// # Sessions
//
// When a session with the store is lost, the producer pauses for a jittered exponential backoff ([Backoff], 50 ms to 5 s, never
// less than the store asks for). Then the producer waits until a record must be sent, and opens the next session. The second
// failed attempt in a row begins an outage. The producer logs a warning when an outage begins, and a warning when the store
// answers again. With [Attempts] the producer stops after a number of attempts in a row without progress. Progress is an ack, or
// a session that lived for longer than 5 s (the longest default backoff) and longer than the longest backoff of this producer.
//
// A session without work ends after one to two times [IdleTimeout] (a minute by default), and the next record opens a session
// without a pause. Without a session, a producer without work has no goroutine and takes about 3 KiB of memory.
//
// # Several streams
//
// [Partitioned] has one producer for each of several streams, and chooses the stream of a value by its key: the order of each
// key is kept. Several processes that share the streams read them as a group (package consumer/group).
package producer
