package streamstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/streamstore"
)

func ExampleNew() {
	ctx := context.Background()
	stream := memory.New() // in a service, a stream of the same system as the records
	places := streamstore.New(stream, streamstore.Trim(stream.Trim, 1000))
	cp, err := places.Claim(ctx, "orders/billing")
	if err != nil {
		log.Fatal(err)
	}
	if err := places.Save(ctx, "orders/billing", checkpoint.Checkpoint{Offset: "42", Epoch: cp.Epoch}); err != nil {
		log.Fatal(err)
	}
	cp, err = streamstore.New(stream).Load(ctx, "orders/billing") // another process
	fmt.Println(cp.Offset, cp.Epoch, err)
	// Output: 42 1 <nil>
}
