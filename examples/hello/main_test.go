package main

import (
	"testing"

	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

func TestASecondRunReadsOnlyItsOwnOrders(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := run(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(dir + "/orders.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := consumer.New(db.Stream("orders"), codec.JSON[Order](), consumer.StopAtTail(),
		consumer.Checkpoint(checkpoint.NewFile(dir+"/checkpoints"), "orders/billing"))
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range c.Messages(t.Context()) {
		t.Errorf("left unread: %v, %v", m.Value, err)
	}
}
