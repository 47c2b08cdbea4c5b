// Package s2 is a client for S2 (s2.dev): the whole API of accounts, basins and streams, and each stream as a
// [backend.Sink] and [backend.Source] for producers and consumers. It is written against the wire protocol and wraps no
// other client.
//
// # Delivery
//
//	order                     kept: batches are appended in the order of their seq, whole or not at all
//	duplicates                after a lost reply, a resend is stored twice; with [Exclusive] never
//	another writer            with [Exclusive] backend.ErrConflict, with [Fence] backend.ErrFenced; else they mix by batches
//	resume                    at every record: offsets are sequence numbers, with the time of the stream's creation
//	recreated stream          backend.ErrOutOfRange for a place in the old one, where the token may list streams
//	limits                    1000 records and 1 MiB metered a batch, 1 MiB metered a record
//	end of stream             none: a deleted stream is backend.ErrNotFound
//	times                     given ones are kept to the millisecond, within the stream's configuration; else arrival
//	headers                   kept, with order and repetitions; a header without a name is refused
//	trimmed records           backend.ErrOutOfRange, except from backend.Earliest
//
// An append whose reply was lost is [backend.ErrIndeterminate], as S2 does not know a resend from a new append. With
// [Exclusive] it is [backend.ErrTransient] too: the next session reads back what landed before it sends anything.
//
// What is metered is 8 bytes a record, 2 a header, and the bytes of names, values and body. S2 has no place for a
// [backend.Format], so it is not kept.
//
// # Sessions
//
// A program that decides its batches and their conditions itself appends them with an [AppendSession], many at a time.
//
// A part of a stream, by count, bytes or time, is what a [ReadSession] reads; it resumes by itself.
//
// Each append session has an HTTP/2 connection of its own, which ends with it; read sessions share connections. On
// plain http they use HTTP/2 with prior knowledge. What the server sends is bounded: frames of 2 MiB also after
// decompression, 1000 records a batch, 8 MiB an answer.
//
// # Errors
//
// What a server answers is an [*Error]; what breaks the protocol is a [*ProtocolError]. Beside them is wrapped what to do:
// backend.ErrTransient where nothing was stored, backend.ErrIndeterminate where it may have been. Access tokens and
// encryption keys are in no error and are not printed with a [Client].
package s2
