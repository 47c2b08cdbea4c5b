// Package s2test is S2 for tests: the server of package backend/s2/server on a free port of the loopback, clients of it, and
// faults.
//
//	srv := s2test.New(t, s2test.Basin("my-basin-1", true))
//	stream := srv.Client().Basin("my-basin-1").Stream("orders")
//	srv.Inject(s2test.Fault{Op: s2test.AnyAppend, Stage: s2test.Replying, Do: s2test.Drop()})
//
// The server is the one that `headrace serve` runs: its package says what it promises and what it leaves out. A client in
// another language or process needs its URL and Token. Outside of tests, use that package itself.
package s2test
