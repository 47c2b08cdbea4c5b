// Package durablestreams writes and reads streams of servers that speak the Durable Streams protocol: plain HTTP, no
// library of anybody else. A [Stream] is a Sink and a Source; it also has the protocol's own operations.
//
// # Delivery
//
//   - Order: one order for all producers of a stream, whole batches.
//   - Durability: an ack is the server's answer to an append; what it is worth is the server's to say.
//   - Duplicates after a lost reply: none from one producer. Every batch has the producer's id, an epoch and a sequence, by
//     which the server knows a resend. A server that forgets them, as one does that restarts without having stored them,
//     is found out: the session ends with [backend.ErrIndeterminate], and the producer goes on under a new epoch.
//   - Resume grain: every record. A place is "<offset>/<n>", n messages or bytes behind an offset of the server; reading
//     from it asks for the offset and drops n. Our server says in a header of its own, Headrace-Stream-Id, which stream it
//     is; the id stands before the places of readers and of acks, so that a place of a deleted stream is [backend.ErrOutOfRange]
//     on the next stream of its name. Other servers send no such header: there an old place is read from wherever the new
//     stream is as long. Earliest and Latest are the starts there are: the protocol cannot count back.
//   - Limits: [BatchBytes] and [InFlight]; the protocol has no way to ask for the server's.
//   - Times and headers: kept in framed streams, a time that is not given being that of the sending. In JSON streams there
//     is no place for them: times are dropped, and records with headers are refused, unless [Envelope] makes a place.
//   - End of stream: [Stream.Seal], or [Stream.SealWith] together with the last data. A place that the server has
//     dropped, or that is beyond its tail, is [backend.ErrOutOfRange].
//
// # Producers
//
// Without a [ProducerID] each producer has a random one, and any number of them write at once. With one, each producer
// begins an epoch of its own, the time in Unix milliseconds, and fences those before it. An epoch that was taken already is
// answered by claiming the next, up to three times, before anything was accepted; one that is lost later is [backend.ErrFenced].
// With [Epoch] the caller chooses the epoch, and one that was taken is [backend.ErrFenced] at once.
// Several requests are on their way at once as soon as the first one was accepted. Over several connections some overtake
// others. Our server lets those wait a little; most refuse them, and they are sent again in their turn. To such a server each
// request begins when the one before it was written, and fewer are on their way at once while some are still refused, so that
// about one batch in thirty is sent twice at most.
//
// # JSON streams
//
// Records whose format is application/json, without a content encoding, are the messages of a stream of that type, as any
// other client reads them. An append is one array of them, so a record that is an array stays one message. A value must be
// one JSON value in UTF-8 without white space between its tokens: servers drop that, and the record would come back as other
// bytes. What is not is refused when it is offered to a producer.
//
// # Framed streams
//
// The records of all other formats are framed, since the protocol has bytes there and no messages. The stream has the media
// type of the format; application/octet-stream stands in for text types, for compressed JSON and for none. A frame is
//
//	length   uvarint, of what follows
//	kind     1 byte: 1 with headers, 0 without
//	time     8 bytes of seconds since 1970, signed, and 4 bytes of nanoseconds, big-endian
//	headers  for kind 1: uvarint of how many; for each uvarint length, name, uvarint length, value
//	value    the rest
//
// and an append is one frame behind the other. A server may cut its responses anywhere, also within a frame. A stream of a
// text type has no records and is refused by readers.
//
// # Raw streams
//
// Streams that others write, as text or as bytes of any type, have no frames. [Stream.Raw] reads them as they are, piece by
// piece, and has a producer append what it is given as it is. Consumers and their checkpoints work with it as with records.
//
// # Readers
//
// A reader asks for what there is, response by response, and waits for more from the tail on, until the stream is closed:
// over SSE where the stream is JSON and the server or a proxy does not stand in the way, by long-poll otherwise, or as [SSE]
// and [LongPoll] say. It decodes as the bytes come: it holds 256 KiB, or a message ([MessageBytes]); over SSE up to 4 MiB of
// an event as well, for a moment twice, and what is larger is read without SSE. Data of an event whose control event did not
// come is dropped and asked for again. What a batch returns shares one piece of memory, so a record that is kept keeps up to
// that of its neighbours.
//
// While the answers to long-polls come at once and nothing moves, as behind a cache, a reader makes one or two requests a
// second. A gateway that waits less long than the server and says 504, 408 or 524 ends no reader: a request that does not
// wait tells whether the server is well.
//
// Earliest is asked for by the name that the beginning has on the servers there are. Where it has another one, or was
// dropped by the server's retention, reading begins at the first data there is. Only our server says where that is, in a
// header of its own, Headrace-Start-Offset. Of others the places within the first response cannot be kept: they would move.
// They are refused later on; the place behind that response is a good one.
//
// # Requests
//
// [Header] and [Query] are asked before each request, so that tokens may rotate. [RequestHeader] and [RequestQuery] are for one
// Stream, or for one call by way of [Stream.With]. No request of a session or a reader is
// repeated in here: producers and consumers do that. The other operations are tried again as [Attempts] says, and heed
// Retry-After; an append only where it cannot be stored twice ([Identity]). Redirects are not followed, nothing is
// compressed. Errors name the stream and the server's host; they have what the server says, without the credentials and paths that it repeats.
// What a wrong setting causes, such as https to a server without TLS or an unknown authority, fails at once with a hint.
package durablestreams
