package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/backend"
)

// File is a Store in one file, for any number of keys, processes and goroutines on one machine.
//
// The file is text with a version and a checksum, one line a key, and safe to read and copy at any time: it is only ever
// replaced whole. Claim and Save read it, write a new one beside it, fsync that, rename it over the old one and fsync the
// directory (on Windows, which cannot, it renames with write-through), all under an OS lock (flock, or LockFileEx on
// Windows) on a third file. So a kill or a power cut at any point leaves the old content or the new one, and two processes
// that claim at once get two epochs.
//
// Beside path these names are used: path + ".lock", which stays and must not be removed while a process uses the store,
// and path + ".tmp", which the next write replaces when a kill has left it behind. The directory must exist; a file that
// does not is an empty store. The processes need write permission in the directory and on the lock file, so they best run
// as one user; Load alone needs to read, except on Windows. New files have mode 0644 before umask; a replaced file keeps
// its permission bits.
//
// Every write costs two fsyncs and rewrites all keys: the file is limited to 16 MiB, and for more than some thousand
// keys another store serves better. Network file systems are only as good as their flock and rename.
//
// Errors, beyond those of [Store]: [*CorruptError] for a file that is damaged, of length zero included;
// [backend.ErrUnsupported] for one that a later release wrote, and on systems that have neither kind of lock;
// [backend.ErrTooLarge] beyond 16 MiB; [backend.ErrIndeterminate] when the new content is in place but its directory
// could not be synced; [backend.ErrRejected] where path is a symbolic link, has a second hard link or is no regular file, because a rename would
// cut the link and part those who come by the two names. Other failures, such as a full disk, are returned with their
// cause and leave the old content.
type File struct {
	path  string // absolute, so that a later change of the working directory does not find another file
	bad   error  // why there is no path
	disk  disk
	limit int           // fileBytes, less in tests
	turn  chan struct{} // full while a goroutine works on the file; a channel, so that ctx bounds the wait
}

var _ Store = (*File)(nil)

// fileBytes bounds what is read into memory on the word of a file, and therefore what is written.
const fileBytes = 16 << 20

// NewFile returns the store in the file at path. It does no I/O and leaves nothing to close: what is wrong with path is
// said by the first call, and no file is open between calls. Several File values, in one process or many, may share a
// path.
func NewFile(path string) *File { return newFile(path, osDisk{}) }

func newFile(path string, d disk) *File {
	f := &File{disk: d, limit: fileBytes, turn: make(chan struct{}, 1)}
	if path == "" {
		f.bad = fmt.Errorf("%w: the path is empty", backend.ErrRejected)
		return f
	}
	f.path, f.bad = filepath.Abs(path)
	return f
}

// Load implements [Store]. It does not wait for writers, except on Windows: a rename leaves no moment at which the file is
// not whole.
func (f *File) Load(ctx context.Context, key string) (Checkpoint, error) {
	cp, err := f.load(ctx, key)
	if err != nil {
		return Checkpoint{}, failed("load", key, err)
	}
	return cp, nil
}

// Claim implements [Store].
func (f *File) Claim(ctx context.Context, key string) (Checkpoint, error) {
	cp, err := f.update(ctx, key, CheckKey(key), Raise)
	if err != nil {
		return Checkpoint{}, failed("claim", key, err)
	}
	return cp, nil
}

// Save implements [Store].
func (f *File) Save(ctx context.Context, key string, cp Checkpoint) error {
	// What is stored already is written again: an earlier Save that failed may have left it in place without having
	// made it durable.
	_, err := f.update(ctx, key, CheckSave(key, cp), func(stored Checkpoint) (Checkpoint, error) {
		return cp, Fence(stored, cp)
	})
	if err != nil {
		return failed("save", key, err)
	}
	return nil
}

func (f *File) load(ctx context.Context, key string) (Checkpoint, error) {
	if err := begin(ctx, errors.Join(f.bad, CheckKey(key))); err != nil {
		return Checkpoint{}, err
	}
	if renameNeedsNoReader {
		unlock, err := f.lock(ctx)
		if err != nil {
			return Checkpoint{}, err
		}
		defer unlock()
	}
	all, _, err := f.read()
	return all[key], err
}

// update replaces what is stored under key by what change makes of it, under the lock from the read to the rename.
func (f *File) update(
	ctx context.Context, key string, refused error, change func(Checkpoint) (Checkpoint, error),
) (Checkpoint, error) {
	if err := begin(ctx, errors.Join(f.bad, refused)); err != nil {
		return Checkpoint{}, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	defer unlock()
	if err := begin(ctx, nil); err != nil { // it may have ended while the lock was waited for
		return Checkpoint{}, err
	}
	all, mode, err := f.read()
	if err != nil {
		return Checkpoint{}, err
	}
	cp, err := change(all[key])
	if err != nil {
		return Checkpoint{}, err
	}
	all[key] = cp
	text := encodeFile(all)
	if len(text) > f.limit {
		return Checkpoint{}, fmt.Errorf("%w: %s would have %d bytes with this, the limit is %d",
			backend.ErrTooLarge, f.path, len(text), f.limit)
	}
	if err := replace(f.disk, f.path, text, mode); err != nil {
		return Checkpoint{}, err
	}
	return cp, nil
}

// read returns what the file holds and its permission bits, which are 0 when there is no file.
func (f *File) read() (map[string]Checkpoint, fs.FileMode, error) {
	text, mode, err := f.disk.read(f.path, f.limit)
	switch {
	case errors.Is(err, errNoFile):
		return make(map[string]Checkpoint), 0, nil
	case err != nil:
		return nil, 0, err
	}
	all, err := decodeFile(text)
	if errors.Is(err, backend.ErrUnsupported) {
		return nil, 0, fmt.Errorf("%s: %w", f.path, err)
	} else if err != nil {
		return nil, 0, &CorruptError{Place: f.path, Err: err}
	}
	return all, mode, nil
}

// lock waits until nobody else, in this process or another, works on the file.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for %s: %w: %w", f.path, backend.ErrTransient, ctx.Err())
	}
	release, err := f.lockOS(ctx)
	if err != nil {
		<-f.turn
		return nil, err
	}
	return func() { release(); <-f.turn }, nil
}

// lockOS asks again and again, because a thread that blocks in flock cannot be called back when ctx ends. The lock is
// held for as long as two fsyncs take, so the longest pause is of that order; the pauses vary so that two processes do
// not keep step.
func (f *File) lockOS(ctx context.Context) (release func(), err error) {
	const shortest, longest = time.Millisecond, 16 * time.Millisecond
	name := f.path + ".lock"
	for pause := shortest; ; pause = min(2*pause, longest) {
		release, err := f.disk.tryLock(name)
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		if release != nil {
			return release, nil
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w: %w", name, backend.ErrTransient, ctx.Err())
		}
	}
}
