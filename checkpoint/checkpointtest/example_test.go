package checkpointtest_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

// A store joins the suite in a few lines. In a real test this is func TestContract(t *testing.T).
func ExampleRun() {
	_ = func(t *testing.T) {
		var path string
		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
			path = filepath.Join(t.TempDir(), "checkpoints")
			return checkpoint.NewFile(path)
		}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store {
			return checkpoint.NewFile(path)
		}))
	}
}

// A save whose reply is lost is simply made again.
func ExampleNewFlaky() {
	ctx := context.Background()
	store := checkpointtest.NewFlaky(checkpoint.NewMemory(),
		checkpointtest.Fault{Op: checkpointtest.Save, Nth: 1, After: true})

	cp, err := store.Claim(ctx, "orders/billing")
	if err != nil {
		fmt.Println(err)
		return
	}
	cp.Offset = "42"
	err = store.Save(ctx, "orders/billing", cp)
	fmt.Println("may be stored:", errors.Is(err, backend.ErrIndeterminate))
	fmt.Println("again:", store.Save(ctx, "orders/billing", cp))
	// Output:
	// may be stored: true
	// again: <nil>
}
