// Package recipes holds the code of docs/recipes.md. The tests run the code.
package recipes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/otel"
	"github.com/headrace/headrace/outbox"
	"github.com/headrace/headrace/producer"
	"github.com/headrace/headrace/relay"
)

type order struct {
	ID       string
	Customer string
	Cents    int64
}

func workers(ctx context.Context, c *consumer.Consumer[order], handle consumer.Handler[order]) error {
	return c.Process(ctx, handle,
		consumer.Concurrency(8),                             // handlers at once
		c.KeyBy(func(o order) string { return o.Customer }), // in order per customer
		consumer.Retries(2), consumer.RetryBackoff(100*time.Millisecond, 10*time.Second),
		consumer.AttemptTimeout(30*time.Second),
	)
}

func batches(ctx context.Context, c *consumer.Consumer[order], insert func(context.Context, []consumer.Message[order]) error) error {
	return c.ProcessBatches(ctx, func(ctx context.Context, batch []consumer.Message[order]) error {
		return insert(ctx, batch) // one statement for all of them
	}, consumer.Concurrency(4))
}

func lag(ctx context.Context, c *consumer.Consumer[order], store checkpoint.Store, stream backend.Source) (backend.Lag, error) {
	lag, err := c.Lag(ctx) // of a consumer in this process
	if err != nil {
		return lag, err
	}
	lag, err = checkpoint.Lag(ctx, store, "orders/billing", stream) // of one that runs elsewhere or not at all
	return lag, err
}

func replay(ctx context.Context, store checkpoint.Store, stream backend.Source, yesterday, noon time.Time) (*consumer.Consumer[order], error) {
	err := consumer.Reset(ctx, store, "orders/billing", backend.AtTime(yesterday)) // fences the consumer that runs
	if err != nil {
		return nil, err
	}
	return consumer.New(stream, codec.JSON[order](), consumer.StartAt(backend.AtTime(yesterday)), consumer.StopAt(backend.AtTime(noon)))
}

func exactlyOnce(ctx context.Context, db *sql.DB, store *sqlstore.Store, m consumer.Message[order]) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing behind Commit
	if _, err := tx.ExecContext(ctx, "UPDATE totals SET cents = cents + $1", m.Value.Cents); err != nil {
		return err
	}
	if err := store.SaveTx(ctx, tx, "orders/totals", m.Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}

func machines(ctx context.Context, db *sql.DB, open func(string) backend.Source, handle func(context.Context, string, consumer.Message[order]) error) error {
	leases := sqlstore.NewLeases(db, sqlstore.PostgreSQL) // or SQLite; sqlstore.Migrate has made the tables
	g, err := group.New(leases, "billing", group.Fixed(open, "orders-0", "orders-1", "orders-2"), codec.JSON[order]())
	if err != nil {
		return err
	}
	return g.Process(ctx, handle)
}

func partitioned(ctx context.Context, sinks []backend.Sink) (*producer.Partitioned[order], error) {
	return producer.NewPartitioned(ctx, sinks, codec.JSON[order](), func(o order) string { return o.Customer })
}

func merged(ctx context.Context, berlin, paris *consumer.Consumer[order], audit func(order) error) error {
	for m, err := range consumer.Merge(ctx, berlin, paris) {
		if err != nil {
			return err // final; it names the stream
		}
		if err := audit(m.Value); err != nil { // m.Stream is 0 for berlin, 1 for paris
			return err
		}
	}
	return nil
}

type (
	event       interface{ event() }
	orderPlaced struct{}
	orderPaid   struct{}
)

func (orderPlaced) event() {}
func (orderPaid) event()   {}

func union() codec.Codec[event] {
	return codec.Union("type",
		codec.Case[event]("order.placed", codec.JSON[orderPlaced]()),
		codec.Case[event]("order.paid", codec.JSON[orderPaid]()))
}

func skipUnknown() consumer.Option {
	return consumer.OnPoison(func(e *consumer.DecodeError) error {
		if unknown := new(codec.UnknownCaseError); errors.As(e, &unknown) {
			return nil
		}
		return e
	})
}

func put(ctx context.Context, pool *pgxpool.Pool, db *postgres.DB, o order) error {
	events := outbox.New(db.Stream("orders"), codec.JSON[order]())
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE orders SET paid = true WHERE id = $1", o.ID); err != nil {
			return err
		}
		return events.Put(ctx, tx, o)
	})
}

func forward(ctx context.Context, db *postgres.DB, target backend.Resumer, places checkpoint.Store) error {
	return relay.Run(ctx, db.Stream("orders"), target, places, "orders-to-s2")
}

func observed(ctx context.Context, sink backend.Sink, source backend.Source, handle consumer.Handler[order]) (*producer.Producer[order], error) {
	reg := observe.NewRegistry()
	p, err := producer.New(ctx, sink, codec.JSON[order](), reg.Producer("orders"))
	if err != nil {
		return nil, err
	}
	c, err := consumer.New(source, codec.JSON[order](), reg.Consumer("billing"))
	if err != nil {
		return nil, err
	}
	return p, c.Process(ctx, handle, consumer.Use(observe.Handler[order](reg, "billing")))
}

func traced(ctx context.Context, p *producer.Producer[order], c *consumer.Consumer[order], o order, handle consumer.Handler[order]) error {
	t := otel.NewTracer("s2", "orders")
	if err := otel.Send(ctx, t, p, o); err != nil {
		return err
	}
	return c.Process(ctx, handle, consumer.Use(otel.Handler[order](t)))
}

// versions writes version 2. firstVersion reads the bytes from before there was a header.
func versions(firstVersion codec.Codec[order]) codec.Codec[order] {
	return codec.WithHeaders(codec.JSON[order](),
		func(h backend.Headers, _ order) backend.Headers {
			return append(h, backend.Header{Name: "version", Value: []byte("2")})
		},
		func(h backend.Headers) (codec.Codec[order], error) {
			if _, ok := h.Lookup("version"); !ok {
				return firstVersion, nil
			}
			return nil, nil // the codec above
		})
}

// otherJSON decodes with the engine imported as json.
func otherJSON() codec.Codec[order] {
	return codec.Func("application/json",
		func(dst []byte, o order) ([]byte, error) {
			text, err := json.Marshal(o)
			return append(dst, text...), err
		},
		func(src []byte) (o order, err error) {
			err = json.Unmarshal(src, &o)
			return o, err
		})
}

func follow(ctx context.Context, c *consumer.Consumer[order], bill func(order) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for m, err := range c.Messages(ctx) {
		if errors.Is(err, context.Canceled) {
			return nil // the signal has come, and the place is saved
		}
		if err != nil {
			return err
		}
		if err := bill(m.Value); err != nil {
			return err
		}
	}
	return nil // the stream was sealed
}
