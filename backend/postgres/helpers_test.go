package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// patience ends a test that would hang for ever where the package waits for itself.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func rec(format string, args ...any) backend.Record {
	return backend.Record{Value: fmt.Appendf(nil, format, args...)}
}

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// readAll reads until the tail.
func readAll(t *testing.T, s *postgres.Stream, from backend.Offset) (got []string) {
	t.Helper()
	ctx := patience(t)
	r, err := s.OpenReader(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, values(t, b)...); b.CaughtUp {
			return got
		}
	}
}

func send(t *testing.T, s *postgres.Stream, values ...string) (last backend.Offset) {
	t.Helper()
	ctx := patience(t)
	p, err := producer.New(ctx, s, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, v := range values {
		r, err := p.Enqueue(ctx, v)
		if err == nil {
			last, err = r.Wait(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// configured is a pool beside pool with other settings.
func configured(t *testing.T, pool *pgxpool.Pool, set func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	cfg := pool.Config()
	set(cfg)
	other, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	return other
}

// readThrough reads n records from the beginning.
func readThrough(tb testing.TB, open func(context.Context, backend.Offset) (backend.Reader, error), n int) {
	tb.Helper()
	r, err := open(tb.Context(), backend.Earliest)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	for got := 0; got < n; {
		b, err := r.Read(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		got += len(b.Records)
		if b.Free != nil {
			b.Free()
		}
	}
}
