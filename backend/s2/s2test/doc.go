// Package s2test runs S2 for tests: the server of package backend/s2/server on a free port of the loopback interface,
// with clients and faults.
//
//	srv := s2test.New(t, s2test.Basin("my-basin-1", true))
//	stream := srv.Client().Basin("my-basin-1").Stream("orders")
//	srv.Inject(s2test.Fault{Op: s2test.AnyAppend, Stage: s2test.Replying, Do: s2test.Drop()})
//
// The server is the same that `headrace serve` runs. Package backend/s2/server says what the server promises and what
// it leaves out. A client in another language or process needs the URL and the Token of the server. Outside of tests,
// use package backend/s2/server itself.
package s2test
