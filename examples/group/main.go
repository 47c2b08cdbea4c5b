// Group books the payments of six streams with three processes that share the streams through leases in a database.
// Then the program kills one process, and the others go on with the streams of the killed process. At the end the
// program checks that every payment was booked once. A booking and the place in the stream are one commit, so a kill at
// any moment repeats nothing and loses nothing.
//
//	go run ./examples/group                           the database is a SQLite file
//	go run ./examples/group -postgres "host=… user=…" the database is PostgreSQL
//
// worker.go is the program of each process. On several machines, run worker.go on each machine.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if runWorker(ctx) {
		return
	}
	dir := flag.String("dir", "group-data", "where the SQLite file lies; it is made anew")
	postgres := flag.String("postgres", "", "keep leases and bookings in this PostgreSQL database instead; its table bookings is made anew")
	payments := flag.Int("payments", 500, "how many payments each of the six streams has")
	lease := flag.Duration("lease", 3*time.Second, "how long a lease lasts without renewal")
	flag.Parse()
	if err := run(ctx, os.Stdout, *dir, *postgres, *payments, *lease); err != nil {
		log.Fatal(err)
	}
}

var streams = []string{"payments-0", "payments-1", "payments-2", "payments-3", "payments-4", "payments-5"}

func run(ctx context.Context, out io.Writer, dir, postgres string, payments int, lease time.Duration) (err error) {
	job := job{Driver: "pgx", DSN: postgres, Lease: lease}
	if postgres == "" {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		job.Driver, job.DSN = "sqlite", "file:"+filepath.Join(dir, "group.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock=immediate"
	}
	db, err := prepare(ctx, job)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	srv, err := server.New(server.Config{Path: server.Prefix("/")})
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, srv.Shutdown(last))
	}()
	if err := srv.Start("127.0.0.1:0"); err != nil {
		return err
	}
	job.Server = srv.URL()
	if err := fill(ctx, job.Server, payments); err != nil {
		return err
	}
	return share(ctx, out, db, job, payments)
}

// prepare makes the tables.
func prepare(ctx context.Context, j job) (*sql.DB, error) {
	db, err := sql.Open(j.Driver, j.DSN)
	if err != nil {
		return nil, err
	}
	err = sqlstore.Migrate(ctx, db, j.dialect())
	for _, q := range []string{
		"DROP TABLE IF EXISTS bookings",
		"CREATE TABLE bookings (stream TEXT NOT NULL, payment BIGINT NOT NULL, worker TEXT NOT NULL)",
		"DELETE FROM headrace_checkpoints WHERE checkpoint_key LIKE '%/booking'",
	} {
		if err == nil {
			_, err = db.ExecContext(ctx, q)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// fill makes the streams, and appends the payments 1, 2, 3, … to each.
func fill(ctx context.Context, address string, payments int) error {
	client, err := durablestreams.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, name := range streams {
		stream := client.Stream(name)
		if _, err := stream.Create(ctx, "application/json"); err != nil {
			return err
		}
		p, err := producer.New(ctx, stream, codec.JSON[int]())
		if err != nil {
			return err
		}
		for i := range payments {
			if _, err := p.Enqueue(ctx, i+1); err != nil {
				return errors.Join(err, p.Close())
			}
		}
		if err := p.Close(); err != nil {
			return err
		}
	}
	return nil
}

// share runs three workers, kills one worker in the middle, and waits until the others have booked everything.
func share(ctx context.Context, out io.Writer, db *sql.DB, j job, payments int) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var workers []*process
	for _, name := range []string{"anna", "bert", "carl"} {
		w, err := start(j, name)
		if err != nil {
			return err
		}
		defer w.kill() // does nothing if the worker has ended
		workers = append(workers, w)
	}
	all := payments * len(streams)
	if err := until(ctx, db, func(n int, by map[string]int) bool { return n > all/5 && len(by) == len(workers) }); err != nil {
		return err
	}
	workers[0].kill()
	fmt.Fprintln(out, "anna is killed; bert and carl go on")
	if err := until(ctx, db, func(n int, _ map[string]int) bool { return n >= all }); err != nil {
		return err
	}
	for _, w := range workers[1:] {
		if err := w.end(); err != nil {
			return err
		}
	}
	return check(ctx, out, db, all)
}

// until waits until f returns true. f gets the number of bookings, in total and by worker.
func until(ctx context.Context, db *sql.DB, f func(n int, by map[string]int) bool) error {
	for {
		n, by, err := bookings(ctx, db)
		if err != nil {
			return err
		}
		if f(n, by) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func bookings(ctx context.Context, db *sql.DB) (n int, by map[string]int, err error) {
	by = make(map[string]int)
	rows, err := db.QueryContext(ctx, "SELECT worker, COUNT(*) FROM bookings GROUP BY worker")
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var worker string
		var count int
		if err := rows.Scan(&worker, &count); err != nil {
			return 0, nil, err
		}
		by[worker] = count
		n += count
	}
	return n, by, rows.Err()
}

// check compares the bookings with the payments.
func check(ctx context.Context, out io.Writer, db *sql.DB, all int) error {
	var different int
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT DISTINCT stream, payment FROM bookings) AS d").Scan(&different)
	if err != nil {
		return err
	}
	n, by, err := bookings(ctx, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d bookings: %d by anna, %d by bert, %d by carl\n", n, by["anna"], by["bert"], by["carl"])
	if n != all || different != all {
		return fmt.Errorf("%d bookings of %d different payments, want %d of each", n, different, all)
	}
	fmt.Fprintln(out, "each payment was booked once")
	return nil
}
