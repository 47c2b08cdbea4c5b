// Package zerobus writes to tables of a Databricks workspace through Zerobus Ingest, in pure Go.
//
//	client, err := zerobus.New(zerobus.Config{
//		Endpoint:     "https://1234567890.zerobus.us-east-1.cloud.databricks.com",
//		UnityCatalog: "https://example.cloud.databricks.com",
//		ClientID:     id, ClientSecret: secret,
//	})
//	p, err := producer.New(ctx, client.Table("main.air.readings"), codec.JSON[Reading]())
//
// # Delivery
//
//   - Order: the order of each producer, within a table. A batch is a request and is stored whole or not at all. A lone
//     record is a request without a batch around the record.
//   - Durability: an ack says that the rows are durable. A query sees the rows some seconds later.
//   - Duplicates after a lost reply: yes. The service does not recognize a resend, so a batch that was sent and not
//     acknowledged when a stream broke may be in the table twice. producer.AtMostOnce stops instead.
//   - Resume grain: none. A receipt says that a record is durable, but not where. A table cannot be read back: a [Sink] is no
//     backend.Source, and a consumer of a Sink does not compile.
//   - Limits: 10,420,224 bytes of records and 20,000 records in a request; 2,000 fields in a message, which must
//     not contain itself; [InFlight] batches that are not acknowledged.
//   - Times and headers: times are not sent. A record with headers is refused with [backend.ErrRejected].
//   - End of stream: none. Nobody can close a table for good.
//   - Refused rows: if a row does not fit the table's schema, the service refuses the row and ends the stream. The producer
//     finds the row by halving, fails the row's receipt, and sends the other rows in order.
//
// # Record types
//
// The codec decides the type of a stream:
//
//   - application/json makes a JSON stream. Each record is an object. The keys of the object are columns. Any other
//     value, for example from a codec.JSON[string], is refused with [backend.ErrRejected] and not sent.
//   - application/x-protobuf (or application/protobuf) with the schema of the message makes a PROTO stream. The service gets
//     the message's own descriptor.
//   - Any other type, and any content encoding, is refused with [backend.ErrRejected] at the opening, before any request.
//     The same holds for a message that no table can hold.
//
// # Values
//
// A column takes these JSON values, as far as we know the service, and these protobuf types:
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
// codec.JSON writes a time.Time as text in RFC 3339, and not as the table above asks. Give the field a type of your own, or
// convert the time. A time.Duration is a number of nanoseconds, for a BIGINT. codec.JSON writes every digit of an int64.
// But a service or a program that reads numbers as float64 rounds numbers beyond 2^53. The tag `json:",string"` prevents that.
//
// NULL is a key that is missing or null: a nil pointer, or an empty field with omitzero. A Go zero value without a pointer
// is stored as 0, "" or false. In proto3 a field without "optional" is not on the wire while its value is 0, "" or false, and
// the service cannot tell the field from a field that was never set. Where the difference between NULL and zero counts,
// declare the field "optional" and set the field. A NOT NULL column needs its field on the wire.
//
// # Streams
//
// Each session is a stream on an HTTP/2 connection of its own. The service ends streams after about 15
// minutes, and announces the end. From then on nothing more is sent on the stream, the service acknowledges the batches in
// flight, and the producer goes on with a new stream. The change is routine. No row is written twice, unless the service
// leaves without having acknowledged everything.
//
// A program that must decide itself which rows are stored together, all or none, uses a [Stream]. Many batches of a Stream
// may be in flight. Errors about an open stream are a [*StreamError] with the service's id of the stream; [Stream.ID]
// returns the same id.
//
// A token is for one table. The streams of a [Client] share tokens. A token is replaced before its end, or when the service
// refuses the token.
//
// # Options of the vendor's clients
//
// The vendor's clients have a single list of options. Here each option belongs to whoever does the work:
//
//	there                        here                                             default
//	max in-flight requests       [InFlight], of requests                          1,000,000
//	                             producer.BufferBytes, of bytes                   32 MiB
//	recovery = false             producer.Attempts(1)                             tries again
//	recovery timeout             [Timeout]                                        15 s
//	recovery backoff             producer.Backoff, doubling with jitter           50 ms to 5 s
//	recovery retries             producer.Attempts, in a row without progress     no limit
//	server lack of ack timeout   producer.AckTimeout, from the oldest unacked     30 s
//	flush timeout                the context of Flush, producer.DrainTimeout      10 s
//	stream paused max wait       [PauseLimit]                                     as the server says
//	token cache = false          a Client for each stream                         one token a table
//	max payload                  fixed                                            10,420,224 bytes
//	record type                  the codec
//	ack callback                 producer.Observe, receipts
//
// A pause before the end of a stream counts against producer.AckTimeout, because the server owes acks during the pause.
//
// # Errors
//
// An [*Error] is what the service said, with the gRPC code. The error of a lost connection has none of these types. A
// [*ProtocolError] is a message of the service that breaks the protocol. A [*TokenError] is a failure of the token endpoint. A
// [*ProxyError] is the answer of a proxy that makes no tunnel.
// Each comes wrapped with the error of package backend that says what to do:
//
//	INVALID_ARGUMENT                     [backend.ErrRejected]
//	NOT_FOUND                            [backend.ErrNotFound]
//	PERMISSION_DENIED, UNAUTHENTICATED   [backend.ErrUnauthorized]
//	UNIMPLEMENTED                        [backend.ErrUnsupported]
//	OUT_OF_RANGE                         [backend.ErrConflict]
//	every other code, *ProtocolError     [backend.ErrTransient], or [backend.ErrIndeterminate] if batches are not acknowledged
//
// UNAUTHENTICATED on an open stream is [backend.ErrTransient] or [backend.ErrIndeterminate] as well, if the client itself got
// the token: the next opening gets a new token, or fails for good.
package zerobus
