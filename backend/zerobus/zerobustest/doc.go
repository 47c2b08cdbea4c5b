// Package zerobustest starts a Zerobus service for a test: the service of package backend/zerobus/server, on free ports
// of the loopback interface, with faults on demand.
//
//	srv := zerobustest.New(t, zerobustest.Table("main.air.readings"))
//	client, err := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, …})
//	…
//	rows := srv.Rows("main.air.readings")
//
// `headrace serve` runs the same service. Its package describes what the service promises. Outside of tests, use
// package server directly.
package zerobustest
