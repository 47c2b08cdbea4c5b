package server_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A program that writes to Zerobus, against a service that loses its stream once. In a test it is zerobustest.New(t, …).
func Example() {
	type reading struct {
		Sensor string  `json:"sensor"`
		PM25   float64 `json:"pm25"`
	}
	srv, err := zerobustest.Start(zerobustest.Table("main.air.readings",
		zerobustest.Column{Name: "sensor", Type: "STRING", Required: true},
		zerobustest.Column{Name: "pm25", Type: "DOUBLE"}))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(codes.Unavailable, "try again")})

	ctx := context.Background()
	client, err := zerobus.New(zerobus.Config{
		Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "id", ClientSecret: "secret",
	})
	if err != nil {
		log.Fatal(err)
	}
	p, err := producer.New(ctx, client.Table("main.air.readings"), codec.JSON[reading]())
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Send(ctx, reading{"roof", 4.5}, reading{"cellar", 11}); err != nil {
		log.Fatal(err)
	}
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}
	for _, row := range srv.Rows("main.air.readings") {
		fmt.Printf("stream %d: %s\n", row.Stream, row.Value)
	}
	// Output:
	// stream 1: {"sensor":"roof","pm25":4.5}
	// stream 1: {"sensor":"cellar","pm25":11}
}
