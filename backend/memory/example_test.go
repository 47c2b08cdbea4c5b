package memory_test

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
)

func Example() {
	ctx := context.Background()
	stream := memory.New(memory.InFlight(4))

	// A producer does this part.
	session, err := stream.NewAppender(backend.Format{ContentType: "text/plain"}).Open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	if err := session.Send(ctx, 0, []backend.Record{{Value: []byte("one")}, {Value: []byte("two")}}); err != nil {
		fmt.Println(err)
	}
	ack, err := session.Recv(ctx)
	fmt.Println("acknowledged batch", ack.Seq, err)

	// And a consumer this one.
	reader, err := stream.OpenReader(ctx, backend.Earliest)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	batch, err := reader.Read(ctx)
	for _, r := range batch.Records {
		fmt.Printf("%s\n", r.Value)
	}
	fmt.Println("caught up:", batch.CaughtUp, err)
	// Output:
	// acknowledged batch 0 <nil>
	// one
	// two
	// caught up: true <nil>
}

func ExampleStream_Seal() {
	ctx := context.Background()
	stream := memory.New()
	if err := stream.Seal(ctx); err != nil {
		fmt.Println(err)
		return
	}

	_, err := stream.NewAppender(backend.Format{}).Open(ctx)
	fmt.Println(err)
	// Output:
	// memory: open: stream is closed
}
