package checkpoint

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

func TestCheckSave(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		key  string
		cp   Checkpoint
		want error
	}{
		{"k", Checkpoint{Offset: "1", Epoch: 1}, nil},
		{long(KeyBytes), Checkpoint{Offset: backend.Offset(long(OffsetBytes)), Epoch: math.MaxInt64}, nil},
		{"k", Checkpoint{Offset: "1", Epoch: 1, Ahead: ahead.Encode("1", []ahead.Run{{From: 1, To: 2}})}, nil},
		{"k", Checkpoint{Offset: "2", Epoch: 1, Ahead: ahead.Encode("1", []ahead.Run{{From: 1, To: 2}})}, backend.ErrRejected},
		{"k", Checkpoint{Offset: "1", Epoch: 1, Ahead: "not ours"}, backend.ErrRejected},
		{"", Checkpoint{Offset: "1", Epoch: 1}, backend.ErrRejected},
		{"k", Checkpoint{Offset: "", Epoch: 1}, backend.ErrRejected},
		{"k", Checkpoint{Offset: "1", Epoch: 0}, backend.ErrFenced},
		{long(KeyBytes + 1), Checkpoint{Offset: "1", Epoch: 1}, backend.ErrTooLarge},
		{"k", Checkpoint{Offset: backend.Offset(long(OffsetBytes + 1)), Epoch: 1}, backend.ErrTooLarge},
	} {
		if err := CheckSave(c.key, c.cp); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("CheckSave of %d bytes of key, %d of offset, epoch %d: %v, want %v",
				len(c.key), len(c.cp.Offset), c.cp.Epoch, err, c.want)
		}
	}
}

// TestFenceSaysWhy: to be replaced and to have a store without a memory are mended in different places.
func TestFenceSaysWhy(t *testing.T) {
	stored := Checkpoint{Offset: "1", Epoch: 5}
	if err := Fence(stored, Checkpoint{Offset: "2", Epoch: 5}); err != nil {
		t.Errorf("the current epoch: %v", err)
	}
	for epoch, says := range map[uint64]string{4: "5 was claimed after 4", 6: "removed, restored or exchanged"} {
		err := Fence(stored, Checkpoint{Offset: "2", Epoch: epoch})
		if !errors.Is(err, backend.ErrFenced) || !strings.Contains(err.Error(), says) {
			t.Errorf("epoch %d over 5: %v, want ErrFenced that says %q", epoch, err, says)
		}
	}
}

// TestRaiseDoesNotWrapAround: behind the highest epoch there is no older one.
func TestRaiseDoesNotWrapAround(t *testing.T) {
	if cp, err := Raise(Checkpoint{Offset: "1", Epoch: math.MaxInt64 - 1}); err != nil || cp != (Checkpoint{Offset: "1", Epoch: math.MaxInt64}) {
		t.Errorf("Raise to the highest epoch: %v, %v", cp, err)
	}
	if cp, err := Raise(Checkpoint{Offset: "1", Epoch: math.MaxInt64}); !errors.Is(err, backend.ErrRejected) || cp != (Checkpoint{}) {
		t.Errorf("Raise beyond the highest epoch: %v, %v; want ErrRejected", cp, err)
	}
}
