package boltfile

import (
	"crypto/rand"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// create makes a complete new file appear at path in one step. Therefore a crash never leaves an empty or half-written
// file, and an empty file always means damage. If one step is not possible, for example without hard links, create does
// nothing. Then bbolt makes the file in place, and reports a wrong path.
func create(path string, mode os.FileMode) {
	fresh := path + ".new-" + rand.Text()
	defer os.Remove(fresh)
	// The name of the fresh file is random, because two processes may create the file at the same moment.
	db, err := bbolt.Open(fresh, mode, nil)
	if err != nil || db.Close() != nil {
		return
	}
	// If another process has made the file meanwhile, a rename would replace the file of the other process. A link
	// fails instead.
	if os.Link(fresh, path) != nil {
		return
	}
	// The name becomes durable when the directory is synced. Windows cannot sync directories.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}
