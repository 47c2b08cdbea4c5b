// Package server is S2 in a process: a server with the whole API, for programs that want to use S2 without an account, and
// for tests that shall not need a network. Package s2test wraps it for tests in Go; `headrace serve --s2` runs it.
//
//	s, err := server.New(server.Config{Data: "s2.db", Basins: []server.Basin{{Name: "my-basin-1", AutoCreate: true}}})
//	…
//	err = s.Start("127.0.0.1:4243")
//
// # Delivery
//
//   - A batch is stored whole or not at all. An ack means that the batch is stored: in memory, or with [Config.Data]
//     synced to disk.
//   - Sequence numbers are dense from 0. Acks come in the order of inputs. Behind the first input of a session that fails,
//     nothing of the session is stored.
//   - Readers see what is stored and nothing else. A trim is eventual: readers that follow still receive what it removes
//     behind them.
//   - If a write to the file fails, nothing more is stored until the file is opened again. Batches that came later have
//     been given their sequence numbers already, and would leave a hole.
//
// # What it serves
//
// Account, basin and stream level, over HTTP/1.1 and HTTP/2 in clear text on one port: JSON and protobuf calls, append and
// read sessions in frames, server-sent events, access tokens with scopes. Where the documents of S2 leave a choice, it
// does what the open-source server does. It leaves out what only the hosted service has: rate limits, quotas, and real
// encryption (keys are checked and nothing is encrypted).
//
// # Faults
//
// [Server.Inject] makes things go wrong at a chosen moment: statuses, broken connections, lost acks, silence, GOAWAY,
// terminal and damaged frames. See [Fault].
//
// # Wire code
//
// The code that reads and writes frames, protobuf and JSON is the server's own, on purpose. The client in backend/s2 has
// another. If both used one codec, a mistake in it would be made on both sides, and no test could see it.
package server
