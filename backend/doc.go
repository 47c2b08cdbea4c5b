// Package backend holds the nouns that every store of Headrace speaks: records, offsets, sinks and sources, and the
// errors that say what to do. It imports the standard library only and does no work of its own.
//
// # Delivery
//
// A backend is dumb, ordered and mortal: it opens sessions, moves batches and reports errors. It never retries an
// append or a read; the producer and the consumer do that once, for all backends, by these rules:
//
//   - A batch is stored whole or not at all, and what is stored of the batches a session took is always a prefix.
//   - An [Ack] for a batch means that it and all before it are durable. Acks come in order.
//   - A batch that failed with [ErrTransient] may be sent again under the same seq without being stored twice; one that
//     failed with [ErrIndeterminate] may be stored. The two are separate facts and one error may wrap both.
//   - A reader returns every record from the place asked for, in order, or says with [ErrOutOfRange] that there is a
//     hole. Whatever came before an error is returned before the error.
//   - Nothing ever turns a failure into silence. An error that wraps none of the sentinels here is fatal.
//
// # Capabilities
//
// What a store can do is in its types: a store that cannot be read simply is no [Source], so a consumer on it does not
// compile. There are no feature flags.
//
// # Writing a backend
//
// Implement [Sink] with its [Appender] and [Session], and [Source] with its [Reader], where the store has such a
// thing; a store with one blocking call an append needs only [Serial]. Then run backendtest.Run against it: the suite is
// the executable form of the contracts on this page.
package backend
