// Package s2 is a client for the streams of S2 (s2.dev): each stream is a [backend.Sink] and a [backend.Source] for producers and
// consumers. Package admin manages basins, streams and access tokens. The package speaks the wire protocol itself and wraps no
// other client.
//
//	client, err := s2.New(s2.Config{Token: token})
//	p, err := producer.New(ctx, client.Basin("my-basin").Stream("orders", s2.Exclusive()), codec.JSON[Order]())
//
// # Delivery
//
//   - Order: one order for all producers, whole batches, in sequence numbers without a gap. Batches of one producer keep their
//     order.
//   - Durability: S2 acknowledges a batch when the batch is durable, by the storage class of the stream.
//   - Duplicates after a lost reply: yes, because S2 cannot tell a resend from a new append. Such an append is
//     [backend.ErrIndeterminate]. With [Exclusive] there are none: the error is [backend.ErrTransient] too, and the next session
//     reads the stored records back before sending.
//   - Other writers: batches of several producers mix. With Exclusive, a record of another writer is [backend.ErrConflict]. With
//     [Fence], an appender that lost the claim gets [backend.ErrFenced].
//   - Resume grain: every record. Every portable start is supported. An offset is a sequence number and the time of the stream's
//     creation. An offset of a deleted stream is [backend.ErrOutOfRange] in a new stream of the same name, if the access token may
//     list streams; otherwise, and with [BareOffsets], an offset is a sequence number alone.
//   - Limits: 1,000 records and 1 MiB metered in a batch, 1 MiB metered in a record, [InFlight] batches. A record counts 8 bytes, 2
//     for each header, and the bytes of names, values and body.
//   - Times and headers: a given time is kept to the millisecond, as the stream's configuration allows; otherwise the record has
//     the time of the arrival. Headers keep their order and repetitions. A header without a name is refused. S2 has no place for a
//     [backend.Format], and the package drops the format.
//   - End of stream: none. Nobody can seal a stream. A deleted stream is [backend.ErrNotFound].
//   - Trim: [Stream.Trim], and the retention of the stream. A reader or an offset before the first record is
//     [backend.ErrOutOfRange], except [backend.Earliest].
//
// # Sessions
//
// A program with its own batches and conditions appends with an [AppendSession], many batches at a time.
//
// A [ReadSession] reads a part of a stream, by count, bytes or time, and resumes after a lost connection.
//
// Each append session has an HTTP/2 connection of its own, and the connection ends with the session. Read sessions share
// connections. A reader that has waited at the tail for some heartbeats gives up its session. The Client then watches the tails of
// all such streams of a server over few connections, and a reader without work costs a few hundred bytes. The first record after such
// a wait comes a round trip later, because the reader opens a session for the record. On plain http, sessions use HTTP/2 with prior
// knowledge. The answers of the server are limited: frames of 2 MiB also after decompression, 1000 records a batch, 8 MiB an answer.
//
// # Errors
//
// A refusal of the server is an [*Error]; a breach of the protocol is a [*ProtocolError]. The sentinels beside say what to do:
// backend.ErrTransient if nothing was stored, backend.ErrIndeterminate if records may be stored. A success without the body that S2
// would send comes from a proxy and counts as a failure of the network, for every call and session. A body that cannot be
// understood is a ProtocolError, and no call is repeated for it. Errors never contain access tokens or encryption keys, and printing
// a [Client] does not show them.
package s2
