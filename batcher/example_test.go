package batcher_test

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/batcher"
)

// A log shipper that writes lines in batches of three, and what is left when it is closed.
func Example() {
	b := batcher.New[string](batcher.BatchRecords(3), batcher.Linger(time.Hour))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := b.Take(context.Background())
			if err != nil {
				return
			}
			fmt.Println(batch.Cause, batch.Items)
			b.Release(batch)
		}
	}()
	for _, line := range []string{"one", "two", "three", "four"} {
		if _, _, err := b.Put(context.Background(), &line, len(line), len(line)); err != nil {
			fmt.Println(err)
		}
	}
	b.Close(nil)
	<-done
	// Output:
	// full [one two three]
	// close [four]
}
