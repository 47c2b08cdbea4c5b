// Package streamlog is the stream log that the in-process backends share. A small [Store] keeps records, and the code
// here makes of a Store a sink and a source that keep the promises of package backend.
//
// # Delivery
//
//   - A [Write] is stored as a whole or not at all. It is durable, as far as its Store is durable, when Done is called.
//     Records get sequence numbers from 0 on without a gap, in the order in which the Store took them.
//   - The stored batches of one session are always a prefix of its batches: behind a batch that failed, no batch is
//     begun.
//   - A batch may be stored although its ack was lost, because the session was closed or a context ended. For the life
//     of its appender, such a batch is recognized by its seq: the resend is compared with the stored records,
//     acknowledged, and not stored again. Therefore every end of a session that is not a refusal is transient, and is
//     indeterminate as well while a batch is not acknowledged.
//   - Readers see durable records and no others. They wait for the tail without polling.
//   - These places are out of range: a trimmed place, a place beyond the tail, a place of another backend, and a place of
//     another incarnation of the stream. Only a reader that starts at Earliest may skip what a trim removed, and only
//     before its first batch.
//   - A stream that was closed for good takes nothing more. Its readers get io.EOF behind the last record.
//
// # Shape
//
// A Store has five methods. It knows neither sessions nor contexts nor offsets. Its [Board] shows the durable [State]
// and wakes goroutines that wait for a change. [Log] adds sessions and readers to one Store: NewAppender and
// OpenReader. Code that needs more than a sink and a source, such as a server with its own protocol, uses the Store
// directly: a Write may carry records, a trim and the end of the stream, all in one step.
package streamlog
