// Package backend holds what all stores of Headrace have in common: records, offsets, the interfaces of sinks and sources, and
// the errors that say what to do. [Serial] and [Pipelined] make a Sink of a store's calls or connection. The package imports the
// standard library only, and opens no connection by itself.
//
// # Delivery
//
// A backend opens sessions, moves batches in order, and reports errors. A backend never retries an append or a read. The producer
// and the consumer retry, in the same way for all backends, by these rules:
//
//   - A batch is stored whole or not at all, and the stored batches of a session are always the first batches that the
//     session took.
//   - An [Ack] for a batch means that the batch and all batches before are durable. Acks come in order.
//   - After [ErrTransient] a batch may be sent again under the same seq without being stored twice. After
//     [ErrIndeterminate] a batch may be stored. The two are separate facts, and an error may wrap both.
//   - A reader returns every record from the place asked for, in order, or reports a hole with [ErrOutOfRange]. A reader
//     returns all records before an error, and then the error.
//   - Every failure is reported. An error without a sentinel of this package is fatal.
//
// # Capabilities
//
// The types of a store say what the store can do: a store that cannot be read is no [Source], so a consumer on such a
// store does not compile. There are no feature flags.
//
// # Writing a backend
//
// Implement [Sink] with its [Appender] and [Session], and for a readable store [Source] with its [Reader]. A store with
// one blocking call an append needs only [Serial]. Then run backendtest.Run against the backend: the suite is the
// executable form of the contracts on this page.
package backend
