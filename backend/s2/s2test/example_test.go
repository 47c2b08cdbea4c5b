package s2test_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A connection breaks before the ack, and the producer sends the batch again. In a test, begin with s2test.New(t).
func ExampleStart() {
	server, err := s2test.Start(s2test.Basin("my-basin-1", true))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Drop()})

	ctx := context.Background()
	stream := server.Client().Basin("my-basin-1").Stream("orders")
	p, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Send(ctx, "an order"), p.Stats().Resent)
	fmt.Println(p.Close())
	// Output:
	// <nil> 1
	// <nil>
}
