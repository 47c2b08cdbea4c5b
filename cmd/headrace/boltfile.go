package main

import (
	"path/filepath"
	"sync"

	"github.com/headrace/headrace/backend/bolt"
)

// boltFiles are the bolt files that this process has open. A command may name one file several times, because a stream,
// its dead letters and the checkpoints often lie in one file. bbolt lets a file be opened only once, so all parts of a
// command share the open file.
var boltFiles = struct {
	sync.Mutex
	open map[string]*boltFile // by absolute path without symbolic links
}{open: map[string]*boltFile{}}

type boltFile struct {
	db    *bolt.DB
	users int
}

// openBoltFile opens a file, or returns the open one. Each caller calls the returned function when it no longer uses
// the file. The last call closes the file and frees its lock, so the next command can begin at once.
func openBoltFile(path string) (*bolt.DB, func() error, error) {
	boltFiles.Lock()
	defer boltFiles.Unlock()
	name := realPath(path)
	f := boltFiles.open[name]
	if f == nil {
		db, err := bolt.Open(path)
		if err != nil {
			return nil, nil, err
		}
		// The name is taken again: before the first Open the file may not have existed, and a missing file has no links
		// to follow.
		name = realPath(path)
		f = &boltFile{db: db}
		boltFiles.open[name] = f
	}
	f.users++
	return f.db, func() error {
		boltFiles.Lock()
		defer boltFiles.Unlock()
		if f.users--; f.users > 0 {
			return nil
		}
		delete(boltFiles.open, name)
		return f.db.Close()
	}, nil
}

// realPath returns an absolute path without symbolic links, so that two spellings of a path are the same file.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}
