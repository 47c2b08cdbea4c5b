package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

// openBolt opens bolt:///path/file.db?stream=NAME, or bolt:file.db?stream=NAME for a relative path. A URL with a host,
// as bolt://file.db, is refused: the URL has no path. Only one process at a time can open the file.
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
	db, closeFile, err := openBoltFile(path)
	if err != nil {
		return err
	}
	s := db.Stream(name)
	t.sink, t.source, t.close = s, s, closeFile
	t.exists = func() error { return existsIn(db, name) }
	t.create = opening(s)
	t.seal, t.trim = s.Seal, s.Trim
	t.remove = func(ctx context.Context) error { return db.Delete(ctx, name) }
	return nil
}

// existsIn returns an error if a file has no stream of a name. Readers of such a stream see an empty stream, because
// the library makes a stream with its first append. In the tool a name without a stream is a typing mistake, so the
// error lists the names that there are.
func existsIn(db *bolt.DB, name string) error {
	names, err := db.Streams()
	if err != nil || slices.Contains(names, name) {
		return err
	}
	have := "no streams"
	if len(names) > 0 {
		have = strings.Join(names[:min(len(names), 10)], ", ")
	}
	if len(names) > 10 {
		have += fmt.Sprintf(" and %d more", len(names)-10)
	}
	return fmt.Errorf("%w: no stream %q in the file; the file has %s", backend.ErrNotFound, name, have)
}
