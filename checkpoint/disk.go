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

// A disk is the part of the operating system under the file store, with one method for each step that can fail. Therefore
// tests can make each step fail, cut each step short, or cut the power after each step.
type disk interface {
	// read returns the content and the permission bits of a regular file of at most limit bytes. If the directory exists
	// and the file does not, read returns errNoFile.
	read(name string, limit int) ([]byte, fs.FileMode, error)
	// create makes a file that must not exist yet. With mode 0 the system chooses the permission bits.
	create(name string, mode fs.FileMode) (diskFile, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes the names in dir durable.
	syncDir(dir string) error
	// tryLock returns nil and no error while somebody else holds the lock.
	tryLock(name string) (release func(), err error)
}

// A diskFile is a file that is being written.
type diskFile interface {
	io.WriteCloser
	Sync() error
}

// errNoFile is not fs.ErrNotExist, because a directory that does not exist gives fs.ErrNotExist too.
var errNoFile = errors.New("no such checkpoint file")

// replace replaces the content of path by text: replace writes the file path + ".tmp" and renames the file to path. The
// caller holds the lock, so at most one temporary file exists. A failure before the rename leaves path unchanged.
func replace(d disk, path string, text []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	// A process that was killed may have left the temporary file. We remove the file and create a new file, and never
	// open the old file: in a directory where others may write, the old file could be a link to another place.
	if err := d.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(d, tmp, text, mode); err != nil {
		// Remove the file to free its space on a full disk. If the removal fails, the next replace removes the file.
		_ = d.remove(tmp)
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		_ = d.remove(tmp)
		return err
	}
	// The new content is in place, but a power cut may still bring the old name back.
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return nil
}

// writeNew makes the file name with text in it. The content is durable then; the name is durable only after syncDir.
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

// osDisk is the disk of the operating system. rename, syncDir and the lock differ between systems, and stand in files
// of their own.
type osDisk struct{}

func (osDisk) read(name string, limit int) ([]byte, fs.FileMode, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		// Report a missing directory as an error: a volume that is not mounted is not an empty store.
		if _, err := os.Stat(filepath.Dir(name)); err != nil {
			return nil, 0, err
		}
		return nil, 0, errNoFile
	} else if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a regular file (mode %v)", backend.ErrRejected, name, info.Mode())
	}
	if n := links(info); n > 1 {
		// A rename would separate this name from the others, and each name has a lock file of its own. Two consumers
		// could then get the same epoch.
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
	// OpenFile applies the umask. A replaced file must keep its permission bits, so set them again; the umask was
	// applied when the first file was made.
	if err := f.Chmod(mode); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// openNew fails if the file exists.
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
		// Close alone is not enough to unlock: when another goroutine is just forking a child, the child shares the
		// open file and keeps the lock.
		_ = unlockFile(f)
		_ = f.Close()
	}, nil
}
