package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/outbox"
	"github.com/headrace/headrace/relay"
)

// An Order is both a row of the table and an event.
type Order struct {
	ID    int `json:"id"`
	Cents int `json:"cents"`
}

// where holds the addresses of all systems.
type where struct {
	Postgres, Durable string
	S2, S2Token       string
}

const basin = "shop-events"

// createOrders takes a lock, because PostgreSQL may refuse CREATE TABLE IF NOT EXISTS while another process creates the same table.
const createOrders = `SELECT pg_advisory_xact_lock(hashtext('headrace_outbox_example'));
	CREATE TABLE IF NOT EXISTS orders (id INT PRIMARY KEY, cents INT NOT NULL)`

// A shop has a database, and two systems that get an event for each order.
type shop struct {
	pool    *pgxpool.Pool
	db      *postgres.DB
	sql     *sql.DB
	orders  *postgres.Stream
	places  *sqlstore.Store // checkpoints of the relays
	durable *durablestreams.Stream
	s2      *s2.Stream
	close   func()
}

func open(ctx context.Context, w where) (s *shop, err error) {
	var ends []func()
	end := func() {
		for i := len(ends) - 1; i >= 0; i-- {
			ends[i]()
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	s = &shop{close: end}
	if s.pool, err = pgxpool.New(ctx, w.Postgres); err != nil {
		return nil, err
	}
	ends = append(ends, s.pool.Close)
	if _, err := s.pool.Exec(ctx, createOrders, pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, err
	}
	if s.db, err = postgres.Open(ctx, s.pool); err != nil {
		return nil, err
	}
	ends = append(ends, func() { _ = s.db.Close() })
	s.orders = s.db.Stream("orders")
	s.sql = stdlib.OpenDBFromPool(s.pool)
	ends = append(ends, func() { _ = s.sql.Close() })
	if err := sqlstore.Migrate(ctx, s.sql, sqlstore.PostgreSQL); err != nil {
		return nil, err
	}
	s.places = sqlstore.New(s.sql)

	durable, err := durablestreams.New(w.Durable)
	if err != nil {
		return nil, err
	}
	ends = append(ends, func() { _ = durable.Close() })
	s.durable = durable.Stream("orders")
	if _, err := s.durable.Create(ctx, "application/json"); err != nil {
		return nil, err
	}
	client, err := s2.New(s2.Config{Token: w.S2Token, AccountEndpoint: w.S2, BasinEndpoint: w.S2})
	if err != nil {
		return nil, err
	}
	ends = append(ends, func() { _ = client.Close() })
	s.s2 = client.Basin(basin).Stream("orders")
	return s, nil
}

// take takes orders until there are n. Every fourth order is rolled back at the last moment, and must not become an
// event.
func (s *shop) take(ctx context.Context, n int) error {
	last, err := s.lastOrder(ctx)
	if err != nil {
		return err
	}
	events := outbox.New(s.orders, codec.JSON[Order]())
	changed := errors.New("the customer has changed the mind")
	for id := last + 1; id <= n; id++ {
		o := Order{ID: id, Cents: id * 10}
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, $2)`, o.ID, o.Cents); err != nil {
				return err
			}
			if err := events.Put(ctx, tx, o); err != nil {
				return err
			}
			if id%4 == 0 {
				return changed
			}
			return nil
		})
		if err != nil && !errors.Is(err, changed) {
			return err
		}
	}
	return nil
}

// lastOrder returns the number of the last order. PostgreSQL may still be about to commit the last order of a program that was killed.
// lastOrder waits for that commit, because take would otherwise give the same number to another order.
func (s *shop) lastOrder(ctx context.Context) (last int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE orders IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT COALESCE(max(id), 0) FROM orders`).Scan(&last)
	})
	return last, err
}

// relay copies the events to both systems until ctx ends.
func (s *shop) relay(ctx context.Context, opts ...relay.Option) error {
	all := append(opts, relay.Format(codec.JSON[Order]().Format()))
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		return relay.Run(ctx, s.orders, s.durable, s.places, "orders-to-durable-streams", all...)
	})
	both.Go(func() error { return relay.Run(ctx, s.orders, s.s2, s.places, "orders-to-s2", all...) })
	return both.Wait()
}

// check compares both systems with the table, and returns how many orders there are.
func (s *shop) check(ctx context.Context) (int, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, cents FROM orders ORDER BY id`)
	if err != nil {
		return 0, err
	}
	want, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Order])
	if err != nil {
		return 0, err
	}
	for name, system := range map[string]backend.Source{"Durable Streams": s.durable, "S2": s.s2} {
		c, err := consumer.New(system, codec.JSON[Order](), consumer.StopAtTail())
		if err != nil {
			return 0, err
		}
		n := 0
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return 0, err
			}
			if n == len(want) || m.Value != want[n] {
				return 0, fmt.Errorf("%s: event %d is %+v, after %d of %d orders", name, n, m.Value, n, len(want))
			}
			n++
		}
		if n != len(want) {
			return 0, fmt.Errorf("%s: %d events for %d orders", name, n, len(want))
		}
	}
	return len(want), nil
}
