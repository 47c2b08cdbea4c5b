package checkpoint_test

import (
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

func TestMemoryContract(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store { return checkpoint.NewMemory() })
}

func TestFileContract(t *testing.T) {
	var path string
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
		path = filepath.Join(t.TempDir(), "checkpoints")
		return checkpoint.NewFile(path)
	}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store {
		return checkpoint.NewFile(path)
	}))
}

// TestMemorySaveDoesNotAllocate: a consumer that checkpoints every record must be able to afford it in a test.
func TestMemorySaveDoesNotAllocate(t *testing.T) {
	s := checkpoint.NewMemory()
	cp, err := s.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = backend.Offset("4711")
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		if err := s.Save(ctx, "k", cp); err != nil {
			t.Error(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a Save, want 0", allocs)
	}
}
