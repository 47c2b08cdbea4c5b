// Package streamlog is the stream log that the in-process backends share: a small [Store] keeps records, and the
// machinery here turns it into what backend promises of a sink and a source.
//
// # Delivery
//
//   - A [Write] is stored whole or not at all, and is durable (as far as its Store goes) when Done is told so. Records
//     get dense sequence numbers from 0 in the order in which the Store took them.
//   - What is stored of the batches of one session is always a prefix: behind a batch that failed nothing is begun.
//   - A batch that was stored while its ack got lost (the session was closed, a context ended) is known again by its
//     seq for the life of its appender: the resend is compared with what is stored, acknowledged, and not stored twice.
//     Hence every end of a session that is no refusal is transient, and indeterminate as well while something is unacked.
//   - Readers see what is durable and nothing else. They wait for the tail without polling.
//   - A trimmed place, one beyond the tail and one of another backend are out of range. Only a reader that starts at
//     Earliest may skip what a trim removed, and only before its first batch.
//   - A stream closed for good takes nothing more; its readers get io.EOF behind the last record.
//
// # Shape
//
// A Store has five methods and knows no session, no context and no offset. Its [Board] shows the durable [State] and wakes
// who waits for a change. [Log] is the machinery over one Store: NewAppender and OpenReader. Whoever needs more than a
// sink and a source (a server with its own protocol) uses the Store: a Write may carry records, metadata, a trim and the
// end of the stream, all in one step.
package streamlog
