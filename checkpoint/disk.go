package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/backend"
)

// A disk is what the file store asks of the operating system, one method a step that can fail, so that tests can make
// each of them fail, be cut short, or be the last one before the power goes.
type disk interface {
	// read returns the content and the permission bits of a regular file of at most limit bytes, errNoFile where there
	// is none in a directory that exists.
	read(name string, limit int) ([]byte, fs.FileMode, error)
	// create makes a file that must not be there yet. Mode 0 leaves the permission bits to the system.
	create(name string, mode fs.FileMode) (diskFile, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes the names in dir durable.
	syncDir(dir string) error
	// tryLock returns nil and no error while somebody else holds the lock.
	tryLock(name string) (release func(), err error)
}

type diskFile interface {
	io.WriteCloser
	Sync() error
}

// errNoFile is not fs.ErrNotExist, which a directory that is not there is, too.
var errNoFile = errors.New("no such checkpoint file")

// replace puts text in the place of what path holds, by way of path + ".tmp". The caller holds the lock, so there is
// one such file at most. Up to the rename every failure leaves path as it was.
func replace(d disk, path string, text []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	// What a kill has left is removed and the name made anew, never opened: in a directory that others may write to, it
	// could be a link to somewhere else.
	if err := d.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(d, tmp, text, mode); err != nil {
		_ = d.remove(tmp) // on a full disk it is in the way; if it stays, the next replace removes it
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		_ = d.remove(tmp)
		return err
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return nil
}

// writeNew makes the file name with text in it, durable but for its name.
func writeNew(d disk, name string, text []byte, mode fs.FileMode) error {
	f, err := d.create(name, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// osDisk is the disk of the operating system. rename, syncDir and tryLock differ between systems and are in files of
// their own.
type osDisk struct{}

func (osDisk) read(name string, limit int) ([]byte, fs.FileMode, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		// A volume that is not mounted is not an empty store.
		if _, err := os.Stat(filepath.Dir(name)); err != nil {
			return nil, 0, err
		}
		return nil, 0, errNoFile
	} else if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is no regular file but %v", backend.ErrRejected, name, info.Mode())
	}
	if n := links(info); n > 1 {
		// A rename would cut this name off from the others, and each name has a lock file of its own.
		return nil, 0, fmt.Errorf("%w: %s has %d hard links: two names of one file would give two consumers the same epoch", backend.ErrRejected, name, n)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, 0, err
	}
	if len(text) > limit {
		return nil, 0, fmt.Errorf("%w: %s has more than %d bytes", backend.ErrTooLarge, name, limit)
	}
	return text, info.Mode().Perm(), nil
}

func (osDisk) create(name string, mode fs.FileMode) (diskFile, error) {
	if mode == 0 {
		return openNew(name, 0o644)
	}
	f, err := openNew(name, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil { // umask has had its say when the first file was made
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func openNew(name string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

func (osDisk) remove(name string) error { return os.Remove(name) }

func (osDisk) tryLock(name string) (release func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	locked, err := lockFile(f)
	if !locked || err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() {
		// Unlocked by name, not only by the close: a child that another goroutine is just forking shares the open file.
		_ = unlockFile(f)
		_ = f.Close()
	}, nil
}
