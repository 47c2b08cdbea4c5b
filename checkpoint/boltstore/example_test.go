package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint/boltstore"
)

// The effect of a record and the place behind it are one commit, so a record counts once however often the process is
// killed, and a consumer that was replaced counts nothing.
func ExampleStore_SaveTx() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "boltstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "orders.db"), 0o644, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	store := boltstore.New(db, "checkpoints")
	cp, err := store.Claim(ctx, "orders/billing")
	if err != nil {
		fmt.Println(err)
		return
	}
	add := func(cents int, next backend.Offset) error {
		cp.Offset = next // in a consumer's loop: m.Checkpoint()
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("totals"))
			if err != nil {
				return err
			}
			total, _ := strconv.Atoi(string(b.Get([]byte("cents"))))
			if err := b.Put([]byte("cents"), strconv.AppendInt(nil, int64(total+cents), 10)); err != nil {
				return err
			}
			return store.SaveTx(tx, "orders/billing", cp)
		})
	}
	fmt.Println(add(1999, "1"), add(500, "2"))

	if _, err := store.Claim(ctx, "orders/billing"); err != nil { // another consumer takes over
		fmt.Println(err)
		return
	}
	fmt.Println("fenced:", errors.Is(add(999, "3"), backend.ErrFenced))

	err = db.View(func(tx *bbolt.Tx) error {
		fmt.Printf("total: %s\n", tx.Bucket([]byte("totals")).Get([]byte("cents")))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// <nil> <nil>
	// fenced: true
	// total: 2499
}
