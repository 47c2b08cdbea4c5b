// Hello writes three orders to a stream in a file and reads them back. Run the program twice: the second run begins
// behind the last order of the first run.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

type Order struct {
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), "."); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string) error {
	db, err := bolt.Open(dir + "/orders.db")
	if err != nil {
		return err
	}
	defer db.Close()
	orders := db.Stream("orders")

	p, err := producer.New(ctx, orders, codec.JSON[Order]())
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Send(ctx, Order{"pencil", 120}, Order{"paper", 450}, Order{"ink", 900}); err != nil {
		return err
	}
	fmt.Println("three orders are durable in orders.db")

	places := checkpoint.NewFile(dir + "/checkpoints")
	c, err := consumer.New(orders, codec.JSON[Order](), consumer.Checkpoint(places, "orders/billing"), consumer.StopAtTail())
	if err != nil {
		return err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("billed %s for %d cents, at offset %s\n", m.Value.Item, m.Value.Cents, m.Offset)
	}
	return nil
}
