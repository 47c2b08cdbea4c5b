package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/boltstore"
	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// openStore opens a store of checkpoints: file:PATH, bolt:PATH[?bucket=NAME], sqlite:PATH or postgres://…. The caller
// closes the store with the function. The errors name a URL without its password.
func openStore(ctx context.Context, address string) (checkpoint.Store, func() error, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the store of checkpoints: not a URL", errUsage)
	}
	path := u.Opaque + u.Path
	// A relative path is in Opaque (file:places), an absolute one in Path (file:/var/places).
	if path == "" && u.Scheme != "postgres" {
		return nil, nil, fmt.Errorf("%w: the store of checkpoints has no path: %s", errUsage, redacted(u))
	}
	switch u.Scheme {
	// The store opens its file for each call, so nothing is left to close.
	case "file":
		return checkpoint.NewFile(path), func() error { return nil }, nil
	case "bolt":
		return openBoltStore(path, u.Query().Get("bucket"))
	case "sqlite":
		return openSQLStore(ctx, "sqlite", path, sqlstore.SQLite)
	case "postgres", "postgresql":
		return openSQLStore(ctx, "pgx", address, sqlstore.PostgreSQL)
	}
	return nil, nil, fmt.Errorf("%w: %q is no store of checkpoints: it must begin with file:, bolt:, sqlite: or postgres: (see headrace --help)", errUsage, redacted(u))
}

// openBoltStore opens the buckets of a bolt file, which may hold streams too.
func openBoltStore(path, bucket string) (checkpoint.Store, func() error, error) {
	if bucket == "" {
		bucket = "checkpoints"
	}
	db, closeFile, err := openBoltFile(path)
	if err != nil {
		return nil, nil, err
	}
	return boltstore.New(db.Bolt(), bucket), closeFile, nil
}

// openSQLStore makes the table if it is missing. So the first command on a new database works, and a command on an old
// one brings its table up to date.
func openSQLStore(ctx context.Context, driver, source string, d sqlstore.Dialect) (checkpoint.Store, func() error, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, nil, err
	}
	if err := sqlstore.Migrate(ctx, db, d); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return sqlstore.New(db), db.Close, nil
}
