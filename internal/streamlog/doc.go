// Package streamlog is the common part of the backends in this process. A small [Store] keeps records, and this package
// makes a sink and a source from a Store. Both keep the promises of package backend.
//
// # Delivery
//
//   - A [Write] is stored as a whole or not at all. When Done is called, the Write is durable, as far as its Store is
//     durable. Records get sequence numbers from 0 on without a gap, in the order in which the Store took them.
//   - The stored batches of a session are always a prefix of its batches: after a failed batch, no later batch is
//     begun.
//   - A batch may be stored although its ack was lost, because the session was closed or a context has ended. The
//     appender recognizes such a batch by its seq: it compares the resend with the stored records, acknowledges it, and
//     does not store it again. Therefore every end of a session except a refusal is transient, and while a batch is not
//     acknowledged, it is also indeterminate.
//   - An appender of [Log.Resume] recognizes batches that another process has sent under the same name, by their places.
//     It must be the only one that writes to the stream.
//   - Readers see only durable records. At the tail they wait without polling.
//   - These places are out of range: a trimmed place, a place beyond the tail, a place of another backend, and a place
//     of another incarnation of the stream. Only a reader that starts at Earliest may skip trimmed records, and only
//     before its first batch.
//   - A sealed stream takes no more records. Its readers get io.EOF behind the last record.
//
// # Shape
//
// A Store has four methods. It does not know sessions, contexts or the rules of offsets. Its [Board] shows the durable
// [State] and wakes goroutines that wait for a change. [Log] adds sessions and readers to one Store: NewAppender and
// OpenReader. A server with its own protocol uses the Store directly: a single Write may carry records, a trim and the
// end of the stream.
package streamlog
