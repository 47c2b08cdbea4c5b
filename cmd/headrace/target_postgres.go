package main

import (
	"context"
	"net/url"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend/postgres"
)

// openPostgres opens postgres://…?stream=NAME. The other parameters are for the connection to PostgreSQL.
func openPostgres(ctx context.Context, u *url.URL, t *target) error {
	name, err := streamOf(u)
	if err != nil {
		return err
	}
	// A pool and not a connection: a producer and a reader work at the same time, for example in bench.
	pool, err := openPool(ctx, u)
	if err != nil {
		return err
	}
	// Open makes the tables if they are missing, so the first command on a new database works.
	db, err := postgres.Open(ctx, pool)
	if err != nil {
		pool.Close()
		return err
	}
	s := db.Stream(name)
	t.sink, t.source, t.streams = s, s, db.Streams
	t.close = func() error {
		// The pool closes last, because the streams of db use its connections.
		err := db.Close()
		pool.Close()
		return err
	}
	t.create = opening(s)
	t.seal, t.trim = s.Seal, s.Trim
	t.remove = func(ctx context.Context) error { return db.Delete(ctx, name) }
	return nil
}

// openPool connects to the database of a URL, whose parameter stream is ours and not the database's. PostgreSQL would
// refuse the connection because of a parameter that it does not know.
func openPool(ctx context.Context, u *url.URL) (*pgxpool.Pool, error) {
	c := *u
	q := c.Query()
	q.Del("stream")
	c.RawQuery = q.Encode()
	return pgxpool.New(ctx, c.String())
}
