// Package durablestreamstest runs Durable Streams for tests: the server of package backend/durablestreams/server on a
// free port of the loopback interface, with clients and faults.
//
//	srv := durablestreamstest.New(t)
//	stream := srv.Client().Stream("orders")
//	srv.Inject(durablestreamstest.Fault{Op: durablestreamstest.AppendCall, Stage: durablestreamstest.Replying, Do: durablestreamstest.Drop()})
//
// The server is the same that `headrace serve` runs. Package backend/durablestreams/server says what the server
// promises. Streams are below the path /v1/stream/, unless [Path] says otherwise. Outside of tests, use package
// backend/durablestreams/server itself.
package durablestreamstest
