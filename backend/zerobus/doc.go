// Package zerobus writes to tables of a Databricks workspace through Zerobus Ingest, in pure Go.
//
//	sink := zerobus.Table("main.air.readings", zerobus.Config{
//		Endpoint:     "https://1234567890.zerobus.us-east-1.cloud.databricks.com",
//		UnityCatalog: "https://example.cloud.databricks.com",
//		ClientID:     id, ClientSecret: secret,
//	})
//	p, err := producer.New(ctx, sink, codec.JSON[Reading]())
//
// # Delivery
//
//   - Order: that of the producer, within one table and producer. A batch is one request and is stored whole or not at
//     all; a lone record is a request without a batch around it.
//   - Durability: an ack says that the rows are durable. A query sees them some seconds later.
//   - Duplicates after a lost reply: yes. The service does not know a resend, so what was sent and not acknowledged when
//     a stream broke may be in the table twice. producer.AtMostOnce stops instead.
//   - Offsets: none. Receipts say that a record is durable and not where it is. A table cannot be read back: a [Sink] is no
//     backend.Source, and a consumer on one does not compile.
//   - Limits: 10,420,224 bytes of records and 20,000 records a request; 2,000 fields of a message, none of which contains
//     itself. Headers are refused, times are not sent.
//   - A row that does not fit the table's schema is refused by the service, which ends the stream. The producer finds the
//     row, by halving; it fails its own receipt and the others go on in order.
//
// # Record types
//
// The codec says what a stream is. application/json makes a JSON stream of one object a record, whose keys are columns; a value
// that is no object, as a codec.JSON[string] writes it, is refused with [backend.ErrRejected] before it is sent.
// application/x-protobuf (or application/protobuf) with the schema of the message makes a PROTO stream: the table gets the
// message's own descriptor. Anything else, and any content encoding, is refused with [backend.ErrRejected] at opening. So is,
// before any request, a message that no table can hold.
//
// # Values
//
// A column takes these JSON values, by what is known of the service, and these protobuf types:
//
//	column          JSON                              Go with codec.JSON               protobuf
//	DATE            days since 1970                   int32; not time.Time             int32, the same
//	TIMESTAMP       microseconds since 1970           int64 (UnixMicro)                int64, the same
//	TIMESTAMP_NTZ   microseconds of the wall clock    int64                            int64, the same
//	DECIMAL         a string such as "12.50"          string, or with MarshalText      string
//	BINARY          base64                            []byte                           bytes
//	VARIANT         a string that holds JSON text     string, from json.Marshal        string that holds JSON text
//	BIGINT          a number, beyond 2^53 a string    int64 with the "string" tag      int64
//
// codec.JSON writes a time.Time as a text in RFC 3339, which is not what the table above asks for: give the field a type of
// its own, or convert it. A time.Duration is a number of nanoseconds, for a BIGINT. codec.JSON writes every digit of an int64;
// without the tag `json:",string"` a service or a program that reads numbers as float64 rounds those beyond 2^53.
//
// NULL is a key that is missing or null: a nil pointer, or a field left out with omitzero. A Go zero value without a pointer
// is written and stored as 0, "" or false. In proto3 a field without "optional" that is 0, "" or
// false is not on the wire, so the service cannot tell it from one that was never set: declare fields "optional", and set
// them, where the difference between NULL and zero counts. A NOT NULL column needs its field on the wire.
//
// # Streams
//
// Each session is one stream on a connection of its own ([ConnectionPerStream]). The service ends streams after about 15
// minutes. It says so before, and from then on nothing more is sent; what is under way is acknowledged, and a new stream
// goes on from there. That is routine, and no row is written twice for it unless the service leaves before it has
// acknowledged everything.
//
// A program that decides itself which rows belong together, all or none, appends them with a [Stream], many batches at a time.
// Errors about a stream that was open are a [*StreamError] with the id that the service gave it; [Stream.ID] is the same.
//
// A token is asked for each table and kept for as long as it lasts; streams of one [Client] share it. It is replaced
// before its end, or when the service refuses it.
//
// # Whose option is it
//
// What the vendor's clients have as one list of options belongs here to whoever does the work:
//
//	there                        here                                             default
//	max in-flight requests       [InFlight], of requests                          1,000,000
//	                             producer.BufferBytes, of bytes                   32 MiB
//	recovery, off                producer.Attempts(1), also for New               off
//	recovery timeout             [AttemptTimeout]                                 15 s
//	recovery backoff             producer.Backoff, doubling with jitter           50 ms to 5 s
//	recovery retries             producer.Attempts, in a row without progress     no limit
//	server lack of ack timeout   producer.AckTimeout, from the oldest unacked     30 s
//	flush timeout                the context of Flush, producer.DrainTimeout      10 s
//	stream paused max wait       [PauseLimit]                                     as the server says
//	max payload                  fixed                                            10,420,224 bytes
//	record type                  the codec
//	token cache, off             a Client of its own for each stream
//	ack callback                 producer.Observe, receipts
//
// A pause counts against producer.AckTimeout: while the server owes acks, it owes them.
//
// # Errors
//
// What the service said is an [*Error] with its gRPC code; what the token endpoint did is a [*TokenError]; a proxy that
// makes no tunnel is a [*ProxyError]. They come wrapped with the error of package backend that says what to do.
// INVALID_ARGUMENT is [backend.ErrRejected], NOT_FOUND [backend.ErrNotFound], PERMISSION_DENIED and UNAUTHENTICATED
// [backend.ErrUnauthorized], UNIMPLEMENTED [backend.ErrUnsupported], OUT_OF_RANGE [backend.ErrConflict]; every other code
// may be tried again. UNAUTHENTICATED on a stream that was open is tried again too, if the token came from here: the next
// opening has a new one, or fails for good.
package zerobus
