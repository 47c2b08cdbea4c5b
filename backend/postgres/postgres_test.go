package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// postgresDSN is of a database that the tests may make schemas in; .ci/postgres starts one.
const postgresDSN = "HEADRACE_POSTGRES"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool makes a schema of its own.
func newPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	dsn := os.Getenv(postgresDSN)
	if dsn == "" {
		t.Skipf("%s is not set: no PostgreSQL to test with", postgresDSN)
	}
	schema := "t" + strings.ToLower(rand.Text())
	pool, err := pgxpool.New(context.Background(), dsn+" search_path="+schema+" application_name="+schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(context.Background(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	return pool
}

func newDB(t testing.TB, pool *pgxpool.Pool, opts ...postgres.Option) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), pool, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestConformance(t *testing.T) {
	pool := newPool(t)
	db := newDB(t, pool)
	admin, err := pgxpool.New(context.Background(), os.Getenv(postgresDSN))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	app := pool.Config().ConnConfig.RuntimeParams["application_name"]
	backendtest.Run(t, backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			s := db.Stream(rand.Text())
			return backendtest.Target{
				Sink: s, Source: s,
				Trim:   func(before backend.Offset) error { return s.Trim(context.Background(), before) },
				Finish: func() error { return s.Seal(context.Background()) },
				Break: func() {
					if _, err := admin.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, app); err != nil {
						t.Error(err)
					}
					// Connections that wait unused in the pool are dead now. A later call that got one would fail, also a call of
					// a rule that breaks nothing.
					pool.Reset()
				},
			}
		},
		OtherFormat: backend.Format{ContentType: "text/plain"},
		Headers:     true,
		Times:       time.Nanosecond,
		Offsets:     true,
		Dedup:       true,
		Late:        true,
		Last:        true,
		AtTime:      true,
		Beside:      true,
	})
}

func values(t *testing.T, b backend.Batch) (vs []string) {
	t.Helper()
	for _, r := range b.Records {
		vs = append(vs, string(r.Value))
	}
	return vs
}

// The known fault of outboxes that are read in the order of a sequence: two transactions overlap, the later number commits first, and a
// reader passes over the earlier one.
func TestReaderPassesNoTransactionThatMayStillCommit(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	first, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback(context.Background())
	if err := s.AppendTx(ctx, first, backend.Record{Value: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return s.AppendTx(ctx, tx, backend.Record{Value: []byte("second")})
	}); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Read(ctx); err != nil || len(b.Records) != 0 || b.CaughtUp {
		t.Fatalf("before the first transaction has ended: %q, %v", values(t, b), err)
	}
	if err := first.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 2 {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, values(t, b)...)
	}
	if fmt.Sprint(got) != "[first second]" {
		t.Errorf("read %q", got)
	}
}

func TestRecordsOfATransactionRolledBackAreNeverSeen(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	for i := range 10 {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := s.AppendTx(ctx, tx, backend.Record{Value: []byte(fmt.Sprint(i))}, backend.Record{Value: []byte(fmt.Sprint(i, "b"))}); err != nil {
				return err
			}
			if i%2 == 1 {
				return errors.New("roll back")
			}
			return nil
		})
		if (err != nil) != (i%2 == 1) {
			t.Fatal(err)
		}
	}
	// The relay moves what was committed, in order.
	to := memory.New()
	p, err := producer.New(ctx, to, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(s, codec.Bytes(), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	err = c.Pipe(ctx, func(ctx context.Context, m consumer.Message[[]byte]) (producer.Receipt, error) {
		return p.Enqueue(ctx, m.Value)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := to.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Read(ctx); err != nil || fmt.Sprint(values(t, b)) != "[0 0b 2 2b 4 4b 6 6b 8 8b]" {
		t.Errorf("%q, %v", values(t, b), err)
	}
}

// A reader that waits is woken by the commit and not by its poll.
func TestCommitWakesAReader(t *testing.T) {
	ctx := t.Context()
	s := newDB(t, newPool(t), postgres.Poll(time.Hour)).Stream("orders")
	p, err := producer.New(ctx, s, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := s.OpenReader(ctx, backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Read(ctx); err != nil || !b.CaughtUp {
		t.Fatal(b, err)
	}
	read := make(chan error, 1)
	go func() {
		b, err := r.Read(ctx)
		if err == nil && fmt.Sprint(values(t, b)) != "[hello]" {
			err = fmt.Errorf("read %q", values(t, b))
		}
		read <- err
	}()
	if err := p.Send(ctx, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func TestOpenMayRunInSeveralProcessesAtOnce(t *testing.T) {
	pool := newPool(t)
	errs := make(chan error)
	for range 8 {
		go func() {
			db, err := postgres.Open(context.Background(), pool)
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestPlaceOfADeletedStreamIsOutOfRange(t *testing.T) {
	ctx := t.Context()
	db := newDB(t, newPool(t))
	s := db.Stream("orders")
	write := func(n int) (last backend.Offset) {
		p, err := producer.New(ctx, s, codec.String())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for i := range n {
			r, err := p.Enqueue(ctx, fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			if last, err = r.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	at := write(5)
	if err := db.Delete(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	write(600)
	if _, err := s.OpenReader(ctx, at); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("%v", err)
	}
}
