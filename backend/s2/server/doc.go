// Package server is an S2 server in a process. The server has the whole API of S2. Use it in a program that works with
// S2 but has no account, and in tests that must not need a network. Package s2test wraps the server for tests in Go.
// `headrace serve --s2` runs the server.
//
//	s, err := server.New(server.Config{Data: "s2.db", Basins: []server.Basin{{Name: "my-basin-1", AutoCreate: true}}})
//	…
//	err = s.Start("127.0.0.1:4243")
//
// # Delivery
//
//   - The server stores a batch whole or not at all. An ack means that the batch is stored: in memory, or, with
//     [Config.Data], on disk (synced).
//   - Sequence numbers begin at 0 and have no holes. Acks come in the order of the inputs. After an input of a session has
//     failed, the server stores nothing more of the session.
//   - Readers see only records that are stored. A trim takes effect some time after its append. A reader that follows still
//     receives records that a trim has removed behind the reader's back, unless the reader is more than 32 MiB behind.
//   - If a write to the file fails, the server stores nothing more until the file is opened again. Later batches have already
//     received their sequence numbers, so storing a later batch would leave a hole.
//
// # What it serves
//
// The server serves calls on accounts, basins and streams, over HTTP/1.1 and over HTTP/2 in clear text, on one port:
// JSON and protobuf calls, append and read sessions in frames, server-sent events, and access tokens with scopes. Where
// the documents of S2 leave a choice, the server does what the open-source server of S2 does. The server leaves out
// what only the hosted service has: rate limits, quotas, and real encryption (the server checks keys and encrypts
// nothing).
//
// # Faults
//
// [Server.Inject] makes something go wrong at a chosen moment: an error status, a broken connection, a lost ack,
// silence, a GOAWAY, a terminal frame or a damaged frame. See [Fault].
//
// # Wire code
//
// The server has its own code to read and write frames, protobuf and JSON, and does not use the code of the client in
// backend/s2. This is on purpose: if both used one codec, a mistake in the codec would be made on both sides, and no
// test could see the mistake.
package server
