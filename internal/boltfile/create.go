package boltfile

import (
	"crypto/rand"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// create makes a whole new file appear at path in one step, so that a crash cannot leave an empty or half-written one: an
// empty file is then always one that was damaged. Where that is not possible, for instance without hard links, bbolt makes
// the file in place, and says what is wrong with the path.
func create(path string, mode os.FileMode) {
	fresh := path + ".new-" + rand.Text()
	defer os.Remove(fresh)
	db, err := bbolt.Open(fresh, mode, nil)
	if err != nil || db.Close() != nil {
		return
	}
	// A link, unlike a rename, does not replace the file of a process that was faster.
	if os.Link(fresh, path) != nil {
		return
	}
	// The name is durable with its directory. Windows cannot sync one.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}
