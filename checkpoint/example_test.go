package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// The newer consumer stops the older one.
func ExampleStore() {
	ctx := context.Background()
	var store checkpoint.Store = checkpoint.NewMemory()

	older, _ := store.Claim(ctx, "orders/billing")
	older.Offset = "17"
	fmt.Println("older:", store.Save(ctx, "orders/billing", older))

	newer, _ := store.Claim(ctx, "orders/billing")
	fmt.Println("newer goes on at", newer.Offset)

	older.Offset = "18"
	err := store.Save(ctx, "orders/billing", older)
	fmt.Println("older is fenced:", errors.Is(err, backend.ErrFenced))
	// Output:
	// older: <nil>
	// newer goes on at 17
	// older is fenced: true
}

func ExampleNewFile() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "checkpoints")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.ckpt")

	store := checkpoint.NewFile(path)
	cp, err := store.Claim(ctx, "orders/billing")
	if err != nil {
		fmt.Println(err)
		return
	}
	cp.Offset = "4711"
	if err := store.Save(ctx, "orders/billing", cp); err != nil {
		fmt.Println(err)
		return
	}

	// The next start of the program, or another process.
	cp, err = checkpoint.NewFile(path).Claim(ctx, "orders/billing")
	fmt.Println(cp.Offset, cp.Epoch, err)
	text, _ := os.ReadFile(path)
	fmt.Printf("%s", text)
	// Output:
	// 4711 2 <nil>
	// headrace checkpoints 2
	// "orders/billing" "4711" 2
	// crc32c 46cfc2ec
}

// A store that is damaged says so and does not begin again.
func ExampleCorruptError() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "checkpoints")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.ckpt")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		fmt.Println(err)
		return
	}

	_, err = checkpoint.NewFile(path).Claim(ctx, "orders/billing")
	var corrupt *checkpoint.CorruptError
	if errors.As(err, &corrupt) {
		fmt.Println(filepath.Base(corrupt.Place), "cannot be read:", corrupt.Err)
	}
	// Output:
	// orders.ckpt cannot be read: the file is empty
}
