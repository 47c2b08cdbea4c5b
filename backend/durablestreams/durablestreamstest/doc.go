// Package durablestreamstest is Durable Streams for tests: the server of package backend/durablestreams/server on a free port
// of the loopback, clients of it, and faults.
//
//	srv := durablestreamstest.New(t)
//	stream := srv.Client().Stream("orders")
//	srv.Inject(durablestreamstest.Fault{Op: durablestreamstest.AppendCall, Stage: durablestreamstest.Replying, Do: durablestreamstest.Drop()})
//
// The server is the one that `headrace serve` runs: its package says what it promises. Streams are below the path
// /v1/stream/ unless [Path] says otherwise. Outside of tests, use that package itself.
package durablestreamstest
