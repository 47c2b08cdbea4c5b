package leasetest_test

import (
	"testing"

	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/consumer/group/lease/leasetest"
)

// The test of a store of leases: newStore returns an empty one.
func ExampleRun() {
	_ = func(t *testing.T) {
		leasetest.Run(t, func(t *testing.T) lease.Store { return lease.NewMemory() })
	}
}
