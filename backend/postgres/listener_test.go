package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
)

// A NOTIFY makes all transactions of the database commit one after another, so no append notifies when nobody listens.
func TestAppendNotifiesOnlyWhileAReaderListens(t *testing.T) {
	ctx := patience(t)
	pool := newDatabase(t)
	s := newDB(t, pool, postgres.Poll(time.Hour)).Stream("orders")
	appendAll := func(round string) { // each kind of append
		session := resume(t, newDB(t, pool).Stream("orders/"+round), 0)
		for i := range uint64(slots + 1) {
			if _, err := appendOne(ctx, session, i, lone(i)); err != nil {
				t.Fatal(err)
			}
		}
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return s.AppendTx(ctx, tx, rec("tx")) })
		if err != nil {
			t.Fatal(err)
		}
	}
	// This connection hears every notification, and no append knows of it.
	heard, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Release()
	if _, err := heard.Exec(ctx, "LISTEN headrace"); err != nil {
		t.Fatal(err)
	}
	// until returns how many notifications of appends come before the notification with the text end.
	until := func(end string) (n int) {
		if _, err := pool.Exec(ctx, "SELECT pg_notify('headrace', $1)", end); err != nil {
			t.Fatal(err)
		}
		for {
			got, err := heard.Conn().WaitForNotification(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got.Payload == end {
				return n
			}
			n++
		}
	}
	appendAll("silent")
	if n := until("first"); n != 0 {
		t.Errorf("%d notifications while nobody listens", n)
	}
	r, err := s.OpenReader(ctx, backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	waitFor(t, pool, listeners)
	appendAll("loud")
	if n := until("second"); n != slots+2 {
		t.Errorf("%d notifications of %d appends while a reader listens", n, slots+2)
	}
}

// newDatabase makes a database of its own: all schemas of a database share the channel, and readers of other tests would listen.
func newDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	admin := newPool(t)
	name := admin.Config().ConnConfig.RuntimeParams["search_path"]
	if _, err := admin.Exec(patience(t), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return configured(t, admin, func(c *pgxpool.Config) {
		c.ConnConfig.Database = name
		c.ConnConfig.RuntimeParams["search_path"] = "public"
	})
}

// listeners asks whether a connection of this test's pools holds the lock of those who listen.
const listeners = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND a.application_name = current_setting('application_name'))`

// waitFor returns when the answer to a question is true.
func waitFor(t *testing.T, pool *pgxpool.Pool, question string) {
	t.Helper()
	ctx := patience(t)
	for yes := false; !yes; {
		if err := pool.QueryRow(ctx, question).Scan(&yes); err != nil {
			t.Fatal(err)
		}
	}
}

// The transaction has asked whether somebody listens before there was a reader, so its commit sends no notification.
func TestReaderIsWokenByTransactionsOlderThanItself(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool, postgres.Poll(time.Hour)).Stream("orders")
	send(t, s, "0")
	open := begin(t, pool)
	if err := s.AppendTx(ctx, open, rec("open")); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := r.Read(ctx)
		read <- err
	}()
	waitFor(t, pool, listeners)
	if err := open.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// A listener waits for every transaction that is older than itself, also for the youngest of them.
func TestYoungestTransactionHasNotEndedWhileItRuns(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	open := begin(t, pool)
	if _, err := open.Exec(ctx, "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	var next int64
	if err := pool.QueryRow(ctx, postgres.NextSQL).Scan(&next); err != nil {
		t.Fatal(err)
	}
	ended := func() (yes bool) {
		if err := pool.QueryRow(ctx, postgres.EndedSQL, next).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if ended() {
		t.Error("a transaction has ended before its commit")
	}
	if err := open.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for !ended() { // transactions of other tests may be running
	}
}
