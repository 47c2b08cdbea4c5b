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

// A worker is one member of the group. On several machines each runs this.
type worker struct {
	name   string
	db     *sql.DB
	leases *sqlstore.Leases
	group  *group.Group[int]
}

// work books payments until ctx is over.
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

// book books the payments of one stream, for as long as this worker has the lease on it.
func (w *worker) book(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		// The payment in hand may be finished when the stream must be given away. An outage of the database is classified
		// as one, so that the group goes on with the stream when the database is back.
		if err := w.bookOne(group.InHand(ctx), stream, m); err != nil {
			return sqlstore.Classify(err)
		}
	}
	return nil
}

// bookOne commits the booking and the place behind the payment, or neither. If another worker has the lease, SaveTx fails.
func (w *worker) bookOne(ctx context.Context, stream string, m consumer.Message[int]) error {
	select { // a booking takes a moment, so that there is something to share
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing behind a commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO bookings VALUES ($1, $2, $3)", stream, m.Value, w.name); err != nil {
		return err
	}
	if err := w.leases.SaveTx(ctx, tx, w.group.Key(stream), m.Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}

// runWorker runs a worker if this process was started as one, and reports whether it was.
func runWorker(ctx context.Context) bool {
	name, j, ok := workerJob()
	if !ok {
		return false
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // the process that started this one closes the pipe, or has ended
		_, _ = fmt.Scanln()
		stop()
	}()
	if err := work(ctx, name, j); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return true
}
