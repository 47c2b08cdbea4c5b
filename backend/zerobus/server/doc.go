// Package server is a Zerobus service in this process: the gRPC endpoint, the OAuth endpoint of its Unity Catalog, and
// the tables behind them. Programs that ingest can be tested against it, and `headrace serve` runs it. In tests, use
// package zerobustest, which starts a server of this package:
//
//	srv := zerobustest.New(t, zerobustest.Table("main.air.readings"))
//	client, err := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, …})
//	…
//	rows := srv.Rows("main.air.readings")
//
// The server is as strict as the service or stricter. The OAuth endpoint must have issued the token for the table. The
// first message must create the stream. Wire offsets run 0, 1, 2, … without a gap. A record must be of the stream's
// kind. A message has at most 10 MiB. A batch is stored whole or not at all. A record of a JSON stream must be a JSON
// object.
//
// A table with columns refuses every record that does not fit, with INVALID_ARGUMENT and a google.rpc.ErrorInfo, as the
// service does. It refuses unknown fields, rows without a NOT NULL column, and values that the type of their column
// cannot hold. These checks include the elements of an ARRAY, a MAP and a STRUCT. See [Column] for the types.
//
// [Server.Rows] returns the stored rows in the order in which the server stored them. Unless the Config has
// DiscardRows, every acknowledged row is among them. Like the service, the server does not recognize a resend: a client
// that sends a row twice finds the row twice.
//
// Without faults the server acknowledges every request and never fails. [Server.Inject] lets streams fail at one stage,
// and [Server.InjectToken] lets requests for tokens fail. [Server.Script] sets all answers of a table. [Config] has a
// Lifetime, after which streams are rotated. [Server.Signal], [Server.End] and [Server.DropConnections] act on the open
// streams.
//
// [Server.Streams] returns what happened on each stream, with times and with the request that created the stream.
// [Server.TokenRequests] returns the requests of the OAuth endpoint. Neither contains a secret.
//
// The server listens on TCP, in plaintext or with TLS, or with InMemory on no network at all.
package server
