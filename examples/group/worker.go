package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group"
)

// A worker is a member of the group. On several machines, each machine runs a worker.
type worker struct {
	name   string
	db     *sql.DB
	leases *sqlstore.Leases
	group  *group.Group[int]
}

// work books payments until ctx ends.
func work(ctx context.Context, name string, j job) (err error) {
	db, err := sql.Open(j.Driver, j.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	client, err := durablestreams.New(j.Server)
	if err != nil {
		return err
	}
	defer client.Close()
	open := func(stream string) backend.Source { return client.Stream(stream) }
	w := worker{name: name, db: db, leases: sqlstore.NewLeases(db, j.dialect())}
	w.group, err = group.New(w.leases, "booking", group.Fixed(open, streams...), codec.JSON[int](),
		group.Member(name), group.LeaseTime(j.Lease), group.DrainTimeout(j.Lease/5),
		group.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	if err != nil {
		return err
	}
	if err := w.group.Each(ctx, w.book); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// book books the payments of a stream, as long as this worker has the lease for the stream.
func (w *worker) book(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		// InHand lets us finish the current payment when the group takes the stream away. Classify marks an outage of
		// the database as transient. Then the group goes on with the stream when the database is back.
		if err := w.bookOne(group.InHand(ctx), stream, m); err != nil {
			return sqlstore.Classify(err)
		}
	}
	return nil
}

// bookOne commits the booking together with the place behind the payment. If another worker has the lease, SaveTx
// fails, and nothing is stored.
func (w *worker) bookOne(ctx context.Context, stream string, m consumer.Message[int]) error {
	select { // without this delay, the first worker would finish before the others start
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO bookings VALUES ($1, $2, $3)", stream, m.Value, w.name); err != nil {
		return err
	}
	if err := w.leases.SaveTx(ctx, tx, w.group.Key(stream), m.Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}

// runWorker runs a worker, if this process was started as a worker. It returns whether it has run one.
func runWorker(ctx context.Context) bool {
	name, j, ok := workerJob()
	if !ok {
		return false
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // the parent process closes the pipe when it wants the end, or when it ends itself
		_, _ = fmt.Scanln()
		stop()
	}()
	if err := work(ctx, name, j); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return true
}
