package postgres_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// An event is in the stream if and only if the transaction of the change commits. Package outbox does this with types.
func ExampleStream_AppendTx() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	db, err := postgres.Open(ctx, pool)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	events := db.Stream("order-events")

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE orders SET paid = true WHERE id = 7"); err != nil {
			return err
		}
		return events.AppendTx(ctx, tx, backend.Record{Value: []byte("order 7 is paid")})
	})
	if err != nil {
		log.Fatal(err)
	}

	c, err := consumer.New(events, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Value)
	}
}
