// Package server serves the Durable Streams protocol: append-only streams under URLs. Any client of the protocol, and
// any browser, can create, append to, close, fork and follow streams over plain HTTP. Package durablestreamstest wraps
// the server for tests in Go. `headrace serve --durable-streams` runs the server.
//
//	s, err := server.New(server.Config{Data: "streams.db", Path: server.Prefix("/v1/stream/")})
//	…
//	err = s.Start("127.0.0.1:4437")
//
// # Delivery
//
//   - An append is stored whole or not at all, and readers see all of it or nothing. With [Bolt], an acknowledged append is on
//     the disk. With [Memory], an append lasts as long as the process.
//   - One commit stores the data, the state of its producer and the closing of the stream. So a producer can send again what
//     was not acknowledged before a crash, and the server stores it once. The state of a producer is kept as long as its
//     stream. So the server recognizes an old batch however late the batch comes, even after the stream was closed.
//   - Concurrent appends share a commit. Their order is the order of the offsets. If a batch of a producer overtakes earlier
//     batches on the way, it waits for the earlier batches for 50 ms. Then it is refused as a gap.
//   - A JSON stream keeps the bytes of every number, string and key. White space between tokens is dropped. A top-level array
//     is split one level deep into messages. JSON is refused if it is not valid UTF-8, or is nested more than 10,000 deep.
//   - A reader can read from every offset that a response names, exactly. An offset beyond the tail is answered with 410. A
//     client may hold such an offset after the server's data was replaced with older data; reading on from the tail would
//     silently skip records.
//   - Stream-Seq is compared for each stream, not for each writer.
//
// # Reading
//
// A response or an SSE event holds whole appends, together about [Config.ChunkBytes]. The server sends the bytes from
// the storage in small parts: a slow reader costs a buffer of 32 KiB during a write, and a waiting reader costs only
// the buffers of its connection. The server gives up a connection without progress: see [Config.BodyStall]. An append
// wakes all waiting readers by closing one channel. There is no polling, and no goroutine for each reader besides those
// of net/http.
//
// A catch-up or long-poll response to a read from the beginning names the place of its first byte in the header
// Headrace-Start-Offset. This header is ours and not part of the protocol. A client has no other way to learn that the
// beginning of the stream was dropped. Answers with an offset also have the header Headrace-Stream-Id. The id differs
// from the ids of earlier streams with the same name: an offset of an earlier stream may be a valid offset of this
// stream, so a client must compare ids.
//
// Over SSE, text is split into lines at CR, LF and CRLF, and all three arrive as LF, because the events of the protocol
// cannot carry more. Types other than text and JSON are sent in base64, and arrive exactly.
//
// Caches may keep responses that cannot change: partial responses, and responses to long-polls. A catch-up response
// that reaches the tail has an ETag for asking again.
//
// # Expiry, forks and deletion
//
// A TTL begins again with each read, write and wait, and when a Bolt file is opened. An expiry time never changes. A
// fork reads the data of its source from the source; nothing is copied. If a source is deleted or expires while it has
// forks, the source is hidden: it answers 410 until the last fork is gone, and then it is removed. If [Retain] drops
// data of a source, the forks lose the data too.
//
// Subscriptions are not served. Their prefix, __ds, is reserved: no path of a stream can contain it.
//
// # Storages
//
// A [Storage] knows nothing of HTTP. The two storages of this package are one engine with two ways to keep bytes. They
// do not use the stream log of the other embedded backends. The stream log counts records of one stream, each with
// headers and a time. This protocol counts the bytes of whole requests in many streams, which can share data, and sends
// the bytes as they are stored.
//
// # Faults
//
// [Server.Inject] makes something go wrong at a chosen moment: an error status, a broken connection, a lost answer,
// silence. See [Fault].
//
// # Wire code
//
// The server has its own code to read requests, split JSON and write events, and does not use the code of the client in
// backend/durablestreams. This is on purpose: if both used one codec, a mistake in the codec would be made on both
// sides, and no test could see the mistake.
//
// # Security
//
// Serve over TLS and with a [Config.Authorize], because the protocol has no access control of its own. The sizes of
// bodies, names and producer ids are bounded. Headers and events of the server contain nothing from a client except
// numbers.
package server
