// Package zerobustest is a Zerobus service in this process: the gRPC endpoint, the OAuth endpoint of its Unity Catalog
// and the tables behind them, for tests of programs that ingest.
//
//	srv := zerobustest.New(t, zerobustest.Table("main.air.readings"))
//	client, err := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, …})
//	…
//	rows := srv.Rows("main.air.readings")
//
// It is as strict as the service or stricter: a token must be one that it issued for the table, the first message must
// create the stream, wire offsets run 0, 1, 2, … without a gap, a record must be of the stream's kind, a message has at
// most 10 MiB, and a batch is stored whole or not at all. A record of a JSON stream must be a JSON object.
//
// A table with columns refuses what does not fit them with INVALID_ARGUMENT and a google.rpc.ErrorInfo, as the service does:
// fields that it does not have, rows without a NOT NULL column, and values that the type of their column does not hold, down to
// the elements of an ARRAY, a MAP and a STRUCT. See [Column] for the types.
//
// What is acknowledged is in [Server.Rows], in the order in which it was stored. Like the service it does not know a
// resend: what is sent twice is there twice.
//
// Left alone it acknowledges every request and never fails. [Server.Inject] makes it fail in one place,
// [Server.InjectToken] does so for tokens, [Server.Script] says everything that a table answers, [Lifetime] rotates
// streams, and [Server.Signal], [Server.End] and [Server.DropConnections] act on what is open now.
//
// [Server.Streams] tells what happened on each stream and when, with the request that created it; [Server.TokenRequests] tells
// what the OAuth endpoint was asked. Neither holds a secret.
//
// It listens on the loopback interface, in plaintext or with [TLS], or with [InMemory] on no network at all.
package server
