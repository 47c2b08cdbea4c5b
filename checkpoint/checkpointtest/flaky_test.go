package checkpointtest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

// TestFlakyWithoutFaults: what it does not break it does not change.
func TestFlakyWithoutFaults(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store {
		return checkpointtest.NewFlaky(checkpoint.NewMemory())
	})
}

func TestFlakyFailsTheCallsItWasToldTo(t *testing.T) {
	full := errors.New("disk full")
	s := checkpointtest.NewFlaky(checkpoint.NewMemory(),
		checkpointtest.Fault{Op: checkpointtest.Claim},
		checkpointtest.Fault{Op: checkpointtest.Claim, Nth: 2, After: true},
		checkpointtest.Fault{Op: checkpointtest.Save, Nth: 2, Times: 2, Err: full},
		checkpointtest.Fault{Op: checkpointtest.Save, Nth: 5, After: true},
		checkpointtest.Fault{Op: checkpointtest.Load, Nth: 4, Times: -1},
	)
	ctx := t.Context()
	load := func(want checkpoint.Checkpoint) {
		t.Helper()
		if got, err := s.Load(ctx, "k"); err != nil || got != want {
			t.Fatalf("Load: %v, %v; want %v", got, err, want)
		}
	}

	cp, err := s.Claim(ctx, "k")
	if !errors.Is(err, backend.ErrTransient) || !errors.Is(err, checkpointtest.ErrInjected) || cp.Epoch != 0 {
		t.Fatalf("first Claim: %v, %v", cp, err)
	}
	load(checkpoint.Checkpoint{})
	if cp, err = s.Claim(ctx, "k"); !errors.Is(err, backend.ErrIndeterminate) || cp.Epoch != 0 {
		t.Fatalf("second Claim: %v, %v", cp, err)
	}
	load(checkpoint.Checkpoint{Epoch: 1})
	if cp, err = s.Claim(ctx, "k"); err != nil || cp.Epoch != 2 {
		t.Fatalf("third Claim: %v, %v", cp, err)
	}

	wants := []error{nil, full, full, nil, checkpointtest.ErrInjected, nil}
	for i, want := range wants {
		cp.Offset = backend.Offset(fmt.Sprint(i))
		if err := s.Save(ctx, "k", cp); !errors.Is(err, want) {
			t.Fatalf("Save %d: %v, want %v", i+1, err, want)
		}
	}
	load(cp)
	for range 3 {
		if _, err := s.Load(ctx, "k"); !errors.Is(err, backend.ErrTransient) {
			t.Fatalf("Load: %v, want every one from the fourth to fail", err)
		}
	}
	if got := s.Calls(checkpointtest.Save); got != len(wants) {
		t.Errorf("%d calls of Save counted, want %d", got, len(wants))
	}
}

// TestFlakyLostReplyOfARefusal: the store's own answer is not replaced, or a test would take a fence for a fault.
func TestFlakyLostReplyOfARefusal(t *testing.T) {
	s := checkpointtest.NewFlaky(checkpoint.NewMemory(), checkpointtest.Fault{Op: checkpointtest.Save, After: true})
	err := s.Save(t.Context(), "k", checkpoint.Checkpoint{Offset: "1", Epoch: 3})
	if !errors.Is(err, backend.ErrFenced) || errors.Is(err, checkpointtest.ErrInjected) {
		t.Errorf("Save: %v, want ErrFenced alone", err)
	}
}

func TestOpString(t *testing.T) {
	got := fmt.Sprint(checkpointtest.Load, checkpointtest.Claim, checkpointtest.Save, checkpointtest.Op(7))
	if got != "load claim save op 7" {
		t.Error(got)
	}
}
