package observe_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/producer"
)

func Example() {
	ctx := context.Background()
	reg := observe.NewRegistry()
	p, err := producer.New(ctx, memory.New(), codec.String(), reg.Producer("orders"))
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Send(ctx, "a", "b"); err != nil {
		log.Fatal(err)
	}
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}
	for _, p := range reg.Snapshot().Producers {
		fmt.Println(p.Name, p.Acked, "durable,", p.Failed, "failed")
	}
	// Output: orders 2 durable, 0 failed
}
