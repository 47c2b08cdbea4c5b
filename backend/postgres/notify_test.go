package postgres_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
)

// A follower is a reader that waits at the tail by Notify.
type follower struct {
	stream *postgres.Stream
	at     backend.Offset
	reader backend.Notifier
	woken  chan struct{} // closed when the reader has called the function of Notify
}

// follow opens a reader at from, and returns when the reader waits. Nothing may be there to read.
func follow(t *testing.T, s *postgres.Stream, from backend.Offset) *follower {
	t.Helper()
	f := &follower{stream: s, at: from}
	if err := f.open(t); err != nil {
		t.Fatal(err)
	}
	for caughtUp := false; !caughtUp || !f.sleep(); {
		b, err := f.reader.Read(patience(t))
		if err != nil || len(b.Records) > 0 {
			t.Fatalf("%d records, %v", len(b.Records), err)
		}
		f.at, caughtUp = b.Next, b.CaughtUp
	}
	return f
}

func (f *follower) open(t *testing.T) error {
	r, err := f.stream.OpenReader(patience(t), f.at)
	if err == nil {
		t.Cleanup(func() { r.Close() })
		f.reader = r.(backend.Notifier)
	}
	return err
}

// sleep reports whether the reader waits.
func (f *follower) sleep() bool {
	woken := make(chan struct{})
	f.woken = woken
	return !f.reader.Notify(func() { close(woken) })
}

// next waits for records or for an error. The reader may be woken in vain. After the loss of the database, next goes on with another
// reader, as a consumer does.
func (f *follower) next(t *testing.T) ([]string, error) {
	t.Helper()
	ctx := patience(t)
	for asleep := true; ; asleep = f.sleep() {
		if asleep {
			select {
			case <-f.woken:
			case <-ctx.Done():
				t.Fatal("the reader is not woken")
			}
		}
		b, err := f.reader.Read(ctx)
		for errors.Is(err, backend.ErrTransient) && ctx.Err() == nil {
			if err = f.open(t); err == nil {
				b, err = f.reader.Read(ctx)
			}
		}
		if err != nil || len(b.Records) > 0 {
			return values(t, b), err
		}
	}
}

// looks is a tracer of pgx that counts the queries of single readers, and those that look at all waiting readers.
type looks struct{ readers, shared atomic.Int64 }

func (q *looks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	switch {
	case strings.HasPrefix(data.SQL, "WITH x"):
		q.readers.Add(1)
	case strings.HasPrefix(data.SQL, "SELECT n,"):
		q.shared.Add(1)
	}
	return ctx
}

func (*looks) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The database is one of its own, because the appends of other tests would wake the readers.
func TestIdleReadersShareAQuery(t *testing.T) {
	q := &looks{}
	db := newDB(t, configured(t, newDatabase(t), func(c *pgxpool.Config) { c.ConnConfig.Tracer = q }), postgres.Poll(10*time.Millisecond))
	for i := range 50 {
		s := db.Stream(strconv.Itoa(i))
		send(t, s, "first")
		follow(t, s, backend.Latest)
	}
	ctx := patience(t)
	for from, before := q.shared.Load(), q.readers.Load(); q.shared.Load() < from+20; {
		if q.readers.Load() != before {
			t.Fatal("a reader asks by itself though nothing has come")
		}
		if ctx.Err() != nil {
			t.Fatal("nobody looks for what no notification reports")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestSleepingReaderIsWoken(t *testing.T) {
	for _, c := range []struct {
		name  string
		poll  time.Duration
		event func(t *testing.T, db *postgres.DB, pool *pgxpool.Pool, s *postgres.Stream)
		want  string
		err   error
	}{
		{"by an append", time.Hour, func(t *testing.T, _ *postgres.DB, _ *pgxpool.Pool, s *postgres.Stream) { send(t, s, "new") }, "new", nil},
		{"by an append that nobody hears of", 10 * time.Millisecond, func(t *testing.T, db *postgres.DB, _ *pgxpool.Pool, s *postgres.Stream) {
			db.Close()
			send(t, s, "new")
		}, "new", nil},
		{"by the loss of all connections", 10 * time.Millisecond, func(t *testing.T, db *postgres.DB, pool *pgxpool.Pool, s *postgres.Stream) {
			cutConnections(t, pool)
			send(t, newDB(t, configured(t, pool, func(*pgxpool.Config) {})).Stream(s.Name()), "new")
		}, "new", nil},
		{"by the loss of all connections, and a notification", time.Hour, func(t *testing.T, db *postgres.DB, pool *pgxpool.Pool, s *postgres.Stream) {
			cutConnections(t, pool)
			send(t, newDB(t, configured(t, pool, func(*pgxpool.Config) {})).Stream(s.Name()), "new")
		}, "new", nil},
		{"by the end of the stream", time.Hour, func(t *testing.T, db *postgres.DB, _ *pgxpool.Pool, s *postgres.Stream) {
			if err := s.Seal(patience(t)); err != nil {
				t.Fatal(err)
			}
		}, "", io.EOF},
		{"by a Delete", 10 * time.Millisecond, func(t *testing.T, db *postgres.DB, _ *pgxpool.Pool, s *postgres.Stream) {
			if err := db.Delete(patience(t), s.Name()); err != nil {
				t.Fatal(err)
			}
		}, "", backend.ErrNotFound},
		{"by another stream with its name", 10 * time.Millisecond, func(t *testing.T, db *postgres.DB, _ *pgxpool.Pool, s *postgres.Stream) {
			if err := db.Delete(patience(t), s.Name()); err != nil {
				t.Fatal(err)
			}
			send(t, s, "other")
		}, "", backend.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			pool := newPool(t)
			db := newDB(t, configured(t, pool, func(*pgxpool.Config) {}), postgres.Poll(c.poll))
			s := db.Stream("orders")
			at := send(t, s, "first")
			readAll(t, s, at) // a transaction elsewhere in the server may hold up the record at first
			f := follow(t, s, backend.Latest)
			c.event(t, db, pool, s)
			got, err := f.next(t)
			if strings.Join(got, " ") != c.want || !errors.Is(err, c.err) {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

// The older transaction has not appended, so its end sends no notification.
func TestSleepingReaderIsWokenWhenAnOlderTransactionEnds(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	q := &looks{}
	s := newDB(t, configured(t, pool, func(c *pgxpool.Config) { c.ConnConfig.Tracer = q }), postgres.Poll(time.Hour)).Stream("orders")
	send(t, s, "first")
	older := begin(t, pool)
	if _, err := older.Exec(ctx, "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	f := follow(t, s, backend.Latest)
	send(t, s, "new")
	for from := q.shared.Load(); q.shared.Load() < from+3; {
		select {
		case <-f.woken: // by the notification
			for ready := true; ready; ready = !f.sleep() {
				if b, err := f.reader.Read(ctx); err != nil || len(b.Records) > 0 {
					t.Fatalf("read %q in front of a running transaction, %v", values(t, b), err)
				}
			}
		case <-ctx.Done():
			t.Fatal("nobody looks for the hidden record")
		case <-time.After(time.Millisecond):
		}
	}
	if err := older.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := f.next(t); err != nil || strings.Join(got, " ") != "new" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestReaderOfAMissingStreamIsWokenByItsFirstRecord(t *testing.T) {
	db := newDB(t, newPool(t), postgres.Poll(time.Hour))
	s := db.Stream("orders")
	f := follow(t, s, backend.Earliest)
	send(t, db.Stream("others"), "other")
	send(t, s, "first")
	if got, err := f.next(t); err != nil || strings.Join(got, " ") != "first" {
		t.Errorf("read %q, %v", got, err)
	}
}

// cutConnections ends all other connections with the application name of pool.
func cutConnections(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(patience(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
}

// The server ends and starts again while many readers wait by Notify.
func TestSleepingReadersOutliveTheServer(t *testing.T) {
	restart := os.Getenv("HEADRACE_POSTGRES_RESTART")
	if restart == "" {
		t.Skip("HEADRACE_POSTGRES_RESTART is not set: no PostgreSQL that this test may stop; use .ci/postgres")
	}
	pool := newPool(t)
	db := newDB(t, configured(t, pool, func(*pgxpool.Config) {}), postgres.Poll(10*time.Millisecond))
	var readers [20]*follower
	for i := range readers {
		s := db.Stream(strconv.Itoa(i))
		send(t, s, "first")
		readers[i] = follow(t, s, backend.Latest)
	}
	if out, err := exec.Command(restart).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pool.Reset() // the connections that wait in it are dead
	other := newDB(t, pool)
	for i, f := range readers {
		send(t, other.Stream(f.stream.Name()), "second")
		if got, err := f.next(t); err != nil || strings.Join(got, " ") != "second" {
			t.Errorf("stream %d: read %q, %v", i, got, err)
		}
	}
}
