// Package server serves the Durable Streams protocol: append-only streams under URLs, created, appended to, closed, forked
// and followed over plain HTTP, by any client of the protocol and by browsers. Package durablestreamstest wraps it for tests in
// Go; `headrace serve --durable-streams` runs it.
//
//	s, err := server.New(server.Config{Data: "streams.db", Path: server.Prefix("/v1/stream/")})
//	…
//	err = s.Start("127.0.0.1:4437")
//
// # Delivery
//
//   - An append is stored whole or not at all, and readers see all of it or none. With [Bolt] it is on the disk when it is
//     acknowledged; with [Memory] it lasts as long as the process.
//   - Data, the state of its producer and the closing of the stream are one commit: after a crash a producer that sends
//     again what was not acknowledged stores it once. The state of a producer is kept as long as its stream, so that an
//     old batch is known again however late it comes, also behind the end of the stream.
//   - Concurrent appends share a commit. Their order is the order of the offsets. A producer's batch that overtakes others
//     of it on the way waits for them for 50 ms before it is refused as a gap.
//   - JSON streams keep the bytes of every number, string and key; white space between tokens goes. A top-level array is
//     taken apart one level deep. JSON that is not valid UTF-8, or nested more than 10,000 deep, is refused.
//   - Every offset that a response names can be read from, exactly. One beyond the tail, as a client may hold after the
//     server's data was replaced by older data, is answered 410: going on from the tail would pass over records in silence.
//   - Stream-Seq is compared a stream, not a writer.
//
// # Reading
//
// A response, or an SSE event, holds whole appends, together about what [Config.ChunkBytes] says. It is sent from the storage in small
// parts: a slow reader costs a buffer of 32 KiB while it is being written to, and one that waits costs no buffer but those
// of its connection. A connection that stands still is given up ([Config.BodyStall]). Who waits is woken by the append, by a channel
// closed once for all of them; there is no polling and no goroutine a reader beside those of net/http.
//
// A catch-up or long-poll response to a read from the beginning says where it begins, in a header that is ours and no part
// of the protocol, Headrace-Start-Offset: once a beginning was dropped, nothing else tells. Answers that name an offset also
// have Headrace-Stream-Id, which tells a stream from others that had its name before: an offset of those may be one of it too.
//
// Over SSE, text is split into lines at CR, LF and CRLF, which all arrive as LF: the protocol's events cannot carry more.
// Other types than text and JSON are sent in base64, and are exact.
//
// Caches may keep what cannot change: partial responses and those of long-polls. A catch-up response that reaches the tail
// has an ETag to be asked again with.
//
// # Expiry, forks and deletion
//
// A TTL begins anew with each read, write and wait, and when a Bolt file is opened; an expiry time is never moved. Forks
// read the data of their source where it lies. A source that is deleted, or expires, while it has forks is hidden: it
// answers 410 until the last fork is gone, and then disappears. What [Retain] drops from a source its forks lose as well.
//
// Subscriptions are not served. Their prefix, __ds, is reserved: no stream can have it in its path.
//
// # Storages
//
// A [Storage] knows nothing of HTTP. The two here are one machine over two ways to keep bytes. They do not stand on the
// stream log of the other embedded backends: that one counts records, each with headers and a time, in one stream, while
// this protocol counts bytes of whole requests, which are to be sent as they lie, in many streams that share their data.
//
// # Faults
//
// [Server.Inject] makes things go wrong at a chosen moment: statuses, broken connections, lost answers, silence. See [Fault].
//
// # Wire code
//
// The code that reads requests, splits JSON and writes events is the server's own, on purpose. The client in
// backend/durablestreams has another. If both used one codec, a mistake in it would be made on both sides, and no test could
// see it.
//
// # Security
//
// Serve it over TLS, and with a [Config.Authorize]: the protocol has no access control of its own. Bodies, names and producer ids
// are bounded; what a client sends comes back in no header and no event but as a number.
package server
