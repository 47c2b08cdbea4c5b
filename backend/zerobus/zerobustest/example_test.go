package zerobustest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Rows that a producer writes can be looked at. In a test, begin with zerobustest.New(t).
func ExampleStart() {
	server, err := zerobustest.Start(zerobustest.CreateTables())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()
	p, err := producer.New(ctx, server.Client().Table("main.air.readings"), codec.JSON[map[string]float64]())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Send(ctx, map[string]float64{"pm25": 12.5}), p.Stats().Acked)
	fmt.Println(p.Close())
	// Output:
	// <nil> 1
	// <nil>
}
