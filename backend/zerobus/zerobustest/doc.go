// Package zerobustest is Zerobus for tests: the service of package backend/zerobus/server on free ports of the loopback, and
// faults.
//
//	srv := zerobustest.New(t, zerobustest.Table("main.air.readings"))
//	client, err := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, …})
//	…
//	rows := srv.Rows("main.air.readings")
//
// The service is the one that `headrace serve` runs: its package says what it promises. Outside of tests, use that package
// itself.
package zerobustest
