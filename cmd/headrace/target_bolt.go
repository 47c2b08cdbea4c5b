package main

import (
	"context"
	"fmt"
	"net/url"
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
	t.streams = func(context.Context) ([]string, error) { return db.Streams() }
	t.create = opening(s)
	t.seal, t.trim = s.Seal, s.Trim
	t.remove = func(ctx context.Context) error { return db.Delete(ctx, name) }
	return nil
}
