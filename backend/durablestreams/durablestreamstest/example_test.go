package durablestreamstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// The server answers one append with 503, and the producer sends the batch again. In a test, begin with
// durablestreamstest.New(t).
func ExampleStart() {
	server, err := durablestreamstest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()
	stream := server.Client().Stream("orders")
	if _, err := stream.Create(ctx, "application/json"); err != nil {
		log.Fatal(err)
	}
	server.Inject(durablestreamstest.Fault{Op: durablestreamstest.AppendCall, Do: durablestreamstest.Status(503)})

	p, err := producer.New(ctx, stream, codec.JSON[string]())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Send(ctx, "an order"), p.Stats().Acked)
	fmt.Println(p.Close())
	// Output:
	// <nil> 1
	// <nil>
}
