// Outbox takes orders in PostgreSQL, and sends an event for each order to two other systems: a Durable Streams server
// for browsers and an S2 stream for analysis. An order and its event are one transaction, and relays copy the events to
// both systems. Kill any part at any moment: each committed order arrives in both systems once and in order, and no
// rolled back order arrives.
//
// The program needs a PostgreSQL server, because backend/postgres cannot keep streams in SQLite. HEADRACE_POSTGRES is
// the DSN. The program makes the schema headrace_outbox_example anew, and starts the two other servers itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	dsserver "github.com/headrace/headrace/backend/durablestreams/server"
	s2server "github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/relay"
)

func main() {
	log.SetFlags(0)
	orders := flag.Int("orders", 1000, "how many orders to take")
	flag.Parse()
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		fmt.Println("HEADRACE_POSTGRES is not set, and an outbox needs PostgreSQL: nothing to show")
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, dsn, *orders); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dsn string, orders int) (err error) {
	shop, end, err := prepare(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	s, err := open(ctx, shop)
	if err != nil {
		return err
	}
	defer s.close()
	relaying, stop := context.WithCancel(ctx)
	defer stop()
	relayed := make(chan error, 1)
	go func() { relayed <- s.relay(relaying) }()
	if err := s.take(ctx, orders); err != nil {
		return err
	}
	// We stop the relays here. In the next lines they start again, and send the remaining events.
	stop()
	if err := <-relayed; !errors.Is(err, context.Canceled) {
		return err
	}
	if err := s.relay(ctx, relay.StopAtTail()); err != nil {
		return err
	}
	n, err := s.check(ctx)
	if err == nil {
		fmt.Printf("%d orders were committed; both systems have each once, in order\n", n)
	}
	return err
}

const schema = "headrace_outbox_example"

// prepare makes the schema anew, and starts the servers.
func prepare(ctx context.Context, dsn string) (w where, end func() error, err error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return w, nil, err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE; CREATE SCHEMA "+schema, pgx.QueryExecModeSimpleProtocol); err != nil {
		return w, nil, err
	}
	return servers(dsn + " search_path=" + schema)
}

func servers(dsn string) (w where, end func() error, err error) {
	durable, err := dsserver.New(dsserver.Config{})
	if err != nil {
		return w, nil, err
	}
	if err := durable.Start("127.0.0.1:0"); err != nil {
		return w, nil, errors.Join(err, durable.Close())
	}
	s2, err := s2server.New(s2server.Config{Basins: []s2server.Basin{{Name: basin, AutoCreate: true}}})
	if err != nil {
		return w, nil, errors.Join(err, durable.Close())
	}
	if err := s2.Start("127.0.0.1:0"); err != nil {
		return w, nil, errors.Join(err, s2.Close(), durable.Close())
	}
	end = func() error { return errors.Join(durable.Close(), s2.Close()) }
	return where{Postgres: dsn, Durable: durable.URL(), S2: s2.URL(), S2Token: s2.Token()}, end, nil
}
