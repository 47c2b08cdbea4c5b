// Package s2test is S2 in a process: a server with the whole API on the loopback, for tests that shall not need a network
// and for programs that want to try S2 without an account.
//
//	srv := s2test.New(t, s2test.Basin("my-basin-1", true))
//	stream := srv.Client().Basin("my-basin-1").Stream("orders")
//
// A client in another language or process needs [Server.URL] and [Server.Token].
//
// # Delivery
//
// It promises what S2 does: a batch is stored whole or not at all; an ack means that it is stored, in memory or, with
// [Data], synced to disk; sequence numbers are dense from 0; acks come in the order of inputs, and behind the first that
// fails nothing of the session is stored; readers see what is stored and nothing else; a trim is eventual, and those who
// follow still receive what it removes behind them.
//
// # What it serves
//
// Account, basin and stream level, over HTTP/1.1 and HTTP/2 in clear text on one port: JSON and protobuf calls, append and
// read sessions in frames, server-sent events, access tokens with scopes. Where the documents of S2 leave a choice it
// does what the open-source server does. What only the hosted service has is left out: rate limits, quotas, and real
// encryption (keys are checked and nothing is encrypted).
//
// # Faults
//
// [Server.Inject] makes things go wrong at a chosen moment: statuses, broken connections, lost acks, silence, GOAWAY,
// terminal and damaged frames. See [Fault].
package s2test
