// Package s2 is a client for S2 (s2.dev): the whole API of accounts, basins and streams, and each stream as a
// [backend.Sink] and [backend.Source] for producers and consumers. The package speaks the wire protocol itself and wraps no
// other client.
//
// # Delivery
//
//	order                     kept: batches are appended in the order of their seq, whole or not at all
//	duplicates                after a lost reply, a resend is stored twice; with [Exclusive] never
//	another writer            with [Exclusive] backend.ErrConflict, with [Fence] backend.ErrFenced; else batches of both mix
//	resume                    at every record: offsets are sequence numbers, with the time of the stream's creation
//	recreated stream          backend.ErrOutOfRange for a place in the old one, where the token may list streams
//	limits                    1000 records and 1 MiB metered a batch, 1 MiB metered a record
//	end of stream             none: a deleted stream is backend.ErrNotFound
//	times                     given times are kept to the millisecond, within the stream's configuration; else arrival
//	headers                   kept, with order and repetitions; a header without a name is refused
//	trimmed records           backend.ErrOutOfRange, except from backend.Earliest
//
// An append with a lost reply is [backend.ErrIndeterminate], because S2 cannot tell a resend from a new append. With [Exclusive]
// the error is [backend.ErrTransient] too: the next session reads the stored records back before sending.
//
// The metered size is 8 bytes a record, 2 a header, and the bytes of names, values and body. S2 has no place for a
// [backend.Format], and the package drops the format.
//
// # Sessions
//
// A program with its own batches and conditions appends with an [AppendSession], many batches at a time.
//
// A [ReadSession] reads a part of a stream, by count, bytes or time, and resumes after a lost connection.
//
// Each append session has an HTTP/2 connection of its own, and the connection ends with the session. Read sessions share
// connections. On plain http, sessions use HTTP/2 with prior knowledge. The answers of the server are limited: frames of 2 MiB
// also after decompression, 1000 records a batch, 8 MiB an answer.
//
// # Errors
//
// A refusal of the server is an [*Error]; a breach of the protocol is a [*ProtocolError]. The sentinels beside say what to do:
// backend.ErrTransient if nothing was stored, backend.ErrIndeterminate if records may be stored. Errors never contain access
// tokens or encryption keys, and printing a [Client] does not show them.
package s2
