package zerobus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func Example() {
	ctx := context.Background()
	srv, err := zerobustest.Start(zerobustest.Table("main.air.readings")) // stands for a workspace
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	type Reading struct {
		Station string  `json:"station"`
		PM25    float64 `json:"pm25"`
	}
	client, err := zerobus.New(zerobus.Config{
		Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL,
		ClientID: "service principal", ClientSecret: "its secret",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	p, err := producer.New(ctx, client.Table("main.air.readings"), codec.JSON[Reading]())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, Reading{"north", 7.5}); err != nil { // durable when it returns
		log.Fatal(err)
	}
	for _, row := range srv.Rows("main.air.readings") {
		fmt.Println(string(row.Value))
	}
	// Output: {"station":"north","pm25":7.5}
}
