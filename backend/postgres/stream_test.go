package postgres_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
)

func TestNameThatTheDatabaseCannotHoldIsRejected(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	for _, name := range []string{"", strings.Repeat("n", 513), "a\x00b", "a\xffb"} {
		if _, err := db.Stream(name).NewAppender(backend.Format{}).Open(ctx); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q opens for appends: %v", name, err)
		}
		if _, err := db.Stream(name).OpenReader(ctx, backend.Earliest); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q opens for reading: %v", name, err)
		}
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return db.Stream(name).AppendTx(ctx, tx, rec("a")) }); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q takes a record: %v", name, err)
		}
		if err := db.Delete(ctx, name); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q is deleted: %v", name, err)
		}
	}
	for _, name := range []string{"'; DROP TABLE headrace_streams; --", `"q"`, "a/b %s $1", "ünïcødé\n\t", strings.Repeat("n", 512)} {
		send(t, db.Stream(name), name)
		if got := readAll(t, db.Stream(name), backend.Earliest); len(got) != 1 || got[0] != name {
			t.Errorf("%q reads as %q", name, got)
		}
	}
}

// counted counts what the connections of a pool receive.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A reader is one page ahead of its caller, here one or two records, and not a page of 4,000 records.
func TestReaderFetchesOnePageAhead(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	large := strings.Repeat("x", 1<<20-64)
	send(t, s, slices.Repeat([]string{large}, 30)...)
	var received atomic.Int64
	counting := configured(t, pool, func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return counted{conn, &received}, nil
		}
	})
	r, err := newDB(t, counting).Stream("orders").OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	returned := 0
	for range 3 {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			returned += len(r.Value)
		}
	}
	if n := received.Load(); n > int64(returned)+3<<20 {
		t.Errorf("received %d bytes for %d returned", n, returned)
	}
}

func TestDeletedStreamDoesNotComeBack(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	a := db.Stream("orders").NewAppender(backend.Format{ContentType: "text/plain"})
	first, err := a.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Send(ctx, 0, []backend.Record{rec("a")}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Recv(ctx); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("the appender of a deleted stream opens: %v", err)
	}
	if err := db.Delete(ctx, "orders"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("the stream is back: %v", err)
	}
	for _, table := range []string{"headrace_streams", "headrace_records", "headrace_batches"} {
		var n int
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows in %s, %v", n, table, err)
		}
	}
}

// What the database remembers of a producer is of no use to anybody when the producer has ended.
func TestProducersOfLongAgoAreForgotten(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	for range 3 {
		send(t, db.Stream("orders"), "a")
	}
	if _, err := pool.Exec(ctx, `UPDATE headrace_batches SET at = at - 8 * 86400 * 1000000000::bigint`); err != nil {
		t.Fatal(err)
	}
	send(t, db.Stream("orders"), "b")
	var n int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM headrace_batches").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d batches are remembered, want the one of the last producer; %v", n, err)
	}
}

func TestStatementTimeoutIsTransient(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	send(t, newDB(t, pool).Stream("orders"), "0")
	for _, setting := range []string{"statement_timeout", "lock_timeout"} {
		hasty := newDB(t, configured(t, pool, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[setting] = "500" }))
		session, err := hasty.Stream("orders").NewAppender(backend.Format{}).Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lock := begin(t, pool)
		if _, err := lock.Exec(ctx, "LOCK TABLE headrace_records"); err != nil {
			t.Fatal(err)
		}
		if err := session.Send(ctx, 0, []backend.Record{rec("a")}); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Recv(ctx); !errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %v", setting, err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		if err := lock.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// The connection that listens is lost: a reader that asks once an hour is still woken by the next commit.
func TestListeningGoesOnAfterItsConnectionIsLost(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool, postgres.Poll(time.Hour)).Stream("orders")
	send(t, s, "0")
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
	for killed := 0; killed == 0; { // it listens soon
		err := pool.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE locktype = 'advisory' AND application_name = current_setting('application_name')`).Scan(&killed)
		if err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, "a")
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func TestStreamsAreThoseThatExist(t *testing.T) {
	ctx := patience(t)
	db := newDB(t, newPool(t))
	want := func(names ...string) {
		t.Helper()
		if got, err := db.Streams(ctx); err != nil || !slices.Equal(got, names) {
			t.Errorf("streams %q, %v, want %q", got, err, names)
		}
	}
	want()
	send(t, db.Stream("b"), "1")
	send(t, db.Stream("a"), "1")
	send(t, db.Stream("Z"), "1")
	_ = db.Stream("never used")
	want("Z", "a", "b")
	if err := db.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	want("Z", "b")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.Streams(ended); !errors.Is(err, backend.ErrTransient) || !strings.HasPrefix(err.Error(), "postgres: list streams: ") {
		t.Error(err)
	}
}
