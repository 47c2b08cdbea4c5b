package inhand_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/internal/inhand"
)

func TestContextsEndAtTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := inhand.New(t.Context())
		inner, cancel := context.WithCancel(h.Work)
		defer cancel()
		if h.Over() || h.Reading.Err() != nil || h.Work.Err() != nil {
			t.Fatal("a new Hold is over")
		}
		if inhand.From(h.Reading) != h || inhand.From(context.Background()) != nil {
			t.Error("Reading does not carry its Hold")
		}
		h.Until(time.Now().Add(time.Second), time.Now().Add(2*time.Second))
		time.Sleep(time.Second)
		if h.Reading.Err() != nil {
			t.Error("Reading ended without a call")
		}
		if !h.Over() || h.Reading.Err() == nil || h.Work.Err() != nil {
			t.Error("after a second only Reading ends")
		}
		time.Sleep(time.Second)
		if inner.Err() != nil {
			t.Error("Work ended without a call")
		}
		if h.Work.Err() == nil || inner.Err() == nil {
			t.Error("after two seconds Work ends, and what is derived from it")
		}
	})
}

func TestNilHoldHasNoLimit(t *testing.T) {
	if (*inhand.Hold)(nil).Over() {
		t.Error("over")
	}
}
