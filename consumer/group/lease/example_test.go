package lease_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/headrace/headrace/consumer/group/lease"
)

// A group in one process, for a test: the leases lie in memory.
func ExampleNewMemory() {
	ctx := context.Background()
	leases := lease.NewMemory()
	if _, err := leases.Renew(ctx, "billing", "a", nil, time.Minute); err != nil {
		log.Fatal(err)
	}
	state, err := leases.Members(ctx, "billing")
	fmt.Println(state.Members, err)
	// Output: [a] <nil>
}
