package outbox_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/outbox"
)

type paid struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

// The event is in the stream if and only if the order is paid.
func Example() {
	pay := func(ctx context.Context, pool *pgxpool.Pool, order string, cents int) error {
		db, err := postgres.Open(ctx, pool)
		if err != nil {
			return err
		}
		defer db.Close()
		events := outbox.New(db.Stream("orders"), codec.JSON[paid]())
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE orders SET cents = $1 WHERE id = $2", cents, order); err != nil {
				return err
			}
			return events.Put(ctx, tx, paid{Order: order, Cents: cents})
		})
	}
	_ = pay
}

// events stands for a stream in a test without PostgreSQL.
type events []backend.Record

func (e *events) AppendTx(_ context.Context, _ pgx.Tx, recs ...backend.Record) error {
	*e = append(*e, recs...)
	return nil
}

// A test without PostgreSQL needs only an Appender of its own, and no transaction.
func ExampleAppender() {
	var stored events
	box := outbox.New(&stored, codec.JSON[paid]())
	if err := box.Put(context.Background(), nil, paid{Order: "o-1", Cents: 120}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", stored[0].Value)
	// Output: {"order":"o-1","cents":120}
}
