// Package durablestreams writes and reads streams of servers with the Durable Streams protocol, over plain HTTP and without a
// library of another vendor. A [Stream] is a Sink and a Source; a Stream also has the protocol's own operations.
//
// # Delivery
//
//   - Order: one order for all producers of a stream, whole batches.
//   - Durability: an ack is the server's answer to an append. The server decides how durable an acknowledged batch is.
//   - Duplicates after a lost reply: none from one producer. Every batch carries the producer's id, an epoch and a sequence,
//     and the server recognizes a resend by the three. A server may forget the three, for example at a restart without
//     storing them. The client notices the loss: the session ends with [backend.ErrIndeterminate], and the producer goes on
//     under a new epoch.
//   - Resume grain: every record. A place is "<offset>/<n>": n messages or bytes behind an offset of the server, and a "+" for
//     each message more. A reader asks for the offset and drops as many. Our server says in a header of its own,
//     Headrace-Stream-Id, which stream is meant; the id stands before the places of readers and of acks. So a place in a
//     deleted stream is [backend.ErrOutOfRange] on the next stream of the same name. Other servers send no id: there an old
//     place is read from as soon as the new stream is long enough. Earliest and Latest are the only starts, because the
//     protocol cannot count back.
//   - Limits: [BatchBytes] and [InFlight]. The protocol has no way to ask for the server's limits.
//   - Times and headers: kept in framed streams; a record without a time gets the time of the sending. JSON streams have no
//     room for either: times are dropped, and records with headers are refused, unless [Envelope] makes room.
//   - End of stream: [Stream.Seal], or [Stream.SealWith] together with the last data. A place before the first record that
//     the server keeps, or beyond the tail, is [backend.ErrOutOfRange].
//
// # Producers
//
// Without a [ProducerID] each producer has a random id, and any number of producers write at once. With a ProducerID, each
// producer begins an epoch of its own, the time in Unix milliseconds, and fences the producers before. If the epoch is taken
// already, a producer claims the next epoch, up to three times, until the server has accepted a batch. A producer that loses
// its epoch later fails with [backend.ErrFenced]. With [Epoch] the caller chooses the epoch, and an epoch that is taken is
// [backend.ErrFenced] at once.
//
// Several requests are in flight at once as soon as the server has accepted the first. The requests use several connections,
// where some overtake others. Our server lets a batch wait whose predecessor is missing; most servers refuse the batch, and
// the client sends the batch again in its turn. To a server that refuses, each request starts after the request before was
// written, and fewer requests are in flight while some are still refused. About one batch in thirty is sent twice at most.
//
// The appends of producers go over connections with HTTP/1.1 that belong to the client, and all other requests go through net/http.
// Where the server agrees on HTTP/2, behind a proxy, with an http.Client of the caller's ([HTTP]) and on systems other than Unix, net/http
// makes the appends too. There a record passes through four more goroutines.
//
// # JSON streams
//
// Records whose format is application/json, without a content encoding, are the messages of a JSON stream, as any other
// client reads them. An append is one array of records, and a record that is an array stays one message. A value must be one
// JSON value in UTF-8 without white space between its tokens: servers drop the white space, and the record would come back as
// other bytes. A producer refuses any other value when the value is offered.
//
// # Framed streams
//
// The records of all other formats are framed, because the protocol has bytes there and no messages. The stream has the media
// type of the format, or application/octet-stream in place of a text type, for compressed JSON and for a format without a
// type. A frame is
//
//	length   uvarint, of what follows
//	kind     1 byte: 1 with headers, 0 without
//	time     8 bytes of seconds since 1970, signed, and 4 bytes of nanoseconds, big-endian
//	headers  for kind 1: uvarint of how many; for each uvarint length, name, uvarint length, value
//	value    the rest
//
// and an append is one frame behind the other. A server may cut its responses anywhere, also within a frame. A stream of a
// text type has no records, and readers refuse the stream.
//
// # Raw streams
//
// Other programs write streams of text, or of bytes of any type, without frames. [Stream.Raw] reads the bytes unchanged and
// piece by piece, and a producer on Raw appends values unchanged. Consumers and their checkpoints work with pieces as with
// records.
//
// # Readers
//
// A reader asks for the stream response by response. From the tail on the reader waits for more, until the stream is sealed:
// over SSE where the stream is JSON and no server or proxy stands in the way, and by long-poll otherwise. [SSE] and [LongPoll]
// choose one of the two.
//
// A reader decodes the bytes as they come. It holds 256 KiB, or one message ([MessageBytes]). Over SSE it also holds an event
// of up to 4 MiB, for a moment twice, and reads a larger event without SSE. Data of an event without a control event behind it
// is dropped and asked for again. The records of a batch share one piece of memory: to keep a record keeps its neighbours too. The slice
// of the records goes back to the reader with [backend.Batch.Free].
//
// Behind a cache, answers to long-polls may come at once and move nothing. A reader makes one or two requests a second then.
// A gateway may wait for a shorter time than the server and answer 504, 408 or 524. Such an answer ends no reader: a request
// without waiting shows whether the server works.
//
// Earliest is asked for by the name of the beginning on all servers we know. If a server has another name, or has dropped the
// beginning by its retention, reading begins at the first data. Only our server says where the first data is, in a header of
// its own, Headrace-Start-Offset. On other servers nobody can keep a place within the first response, because the place would
// move: a later reader refuses the place. The place behind the first response is good.
//
// # Requests
//
// The functions of [Header] and [Query] are called before each request, so tokens may rotate. [RequestHeader] and
// [RequestQuery] are for one Stream, or for one call by way of [Stream.With].
//
// Sessions and readers repeat no request, because producers and consumers retry. The other operations are tried again as
// [Attempts] says, and heed Retry-After. An append is tried again only where it cannot be stored twice ([Identity]).
//
// Redirects are not followed, and nothing is compressed. Errors name the stream and the server's host, and quote the server
// without the credentials and the path in its words. A wrong setting, for example https to a server without TLS or an unknown
// authority, fails at once with a hint.
package durablestreams
