package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/headrace/headrace/backend/bolt"
)

// openBolt opens bolt:///path/file.db?stream=NAME, or bolt:file.db?stream=NAME for a relative path. A URL with a host,
// as bolt://file.db, is refused: the URL has no path. Only a single process can open the file at a time.
func openBolt(ctx context.Context, u *url.URL, t *target) error {
	path := u.Path
	if u.Opaque != "" {
		path = u.Opaque
	}
	if path == "" || u.Host != "" {
		return fmt.Errorf("%w: the URL names no file: write bolt:///path/file.db?stream=NAME or bolt:file.db?stream=NAME", errUsage)
	}
	name, err := streamOf(u)
	if err != nil {
		return err
	}
	db, err := bolt.Open(path)
	if err != nil {
		return err
	}
	s := db.Stream(name)
	// The file closes with the command, and its lock with the file: the next command can begin at once.
	t.sink, t.source, t.close = s, s, db.Close
	t.create = opening(s)
	t.seal, t.trim = s.Seal, s.Trim
	t.remove = func(ctx context.Context) error { return db.Delete(ctx, name) }
	return nil
}
