package lease_test

import (
	"testing"
	"time"

	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/consumer/group/lease/leasetest"
)

func TestMemoryContract(t *testing.T) {
	leasetest.Run(t, func(*testing.T) lease.Store { return lease.NewMemory() })
}

func TestShiftedClockEndsLeases(t *testing.T) {
	s := lease.NewMemory()
	_, ok, err := s.Acquire(t.Context(), "g", "a", "s", time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	s.Shift(time.Hour)
	if _, ok, err := s.Acquire(t.Context(), "g", "b", "s", time.Minute); err != nil || !ok {
		t.Errorf("after an hour: %v, %v", ok, err)
	}
}
