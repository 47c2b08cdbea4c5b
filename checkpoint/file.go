package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// File is a Store in one file, for any number of keys, processes and goroutines on one machine.
//
// The file is text with a version and a checksum, one line for each key. The file may be read and copied at any time,
// because every write replaces the whole file in one step. Claim and Save read the file, write a new file beside the old
// file, fsync the new file, rename the new file over the old file, and fsync the directory. (Windows cannot fsync a
// directory; there the rename uses write-through.) The whole update happens under an OS lock on a third file: flock, or
// LockFileEx on Windows. Therefore a kill or a power cut at any point leaves either the old content or the new content,
// and two processes that claim at once get two epochs.
//
// Two more names beside path are used. path + ".lock" stays, and must not be removed while a process uses the store. path
// + ".tmp" may remain after a kill, and the next write replaces it. The directory must exist; if the file does not exist,
// the store is empty. The processes need permission to write in the directory and to the lock file. Best run all
// processes as one user. Load alone needs only to read, except on Windows. New files have mode 0644 before umask; a
// replaced file keeps its permission bits.
//
// Every write costs two fsyncs and rewrites all keys. The file is limited to 16 MiB; for more than some thousand keys
// use another store. On a network file system, the store is safe only if flock and rename of the file system work between machines.
//
// Errors, in addition to those of [Store]:
//
//   - [*CorruptError]: the file is damaged. A file of length zero is damaged too.
//   - [backend.ErrUnsupported]: a later release wrote the file, or the system has neither kind of lock.
//   - [backend.ErrTooLarge]: the file would have more than 16 MiB.
//   - [backend.ErrIndeterminate]: the new content is in place, but its directory could not be synced.
//   - [backend.ErrRejected]: path is a symbolic link, has a second hard link, or is not a regular file. A rename would
//     separate the names, and each name has a lock file of its own: processes with two names would see two different
//     files.
//
// Other failures, such as a full disk, are returned with their cause and leave the old content.
type File struct {
	path  string // absolute, so that a later change of the working directory does not lead to another file
	bad   error  // why path cannot be used; nil if it can
	disk  disk
	limit int // fileBytes, or less in tests
	// turn is full while a goroutine works on the file. With a channel in place of a mutex, a caller can stop waiting
	// when its ctx ends. Lock order: turn first, then the OS lock.
	turn chan struct{}
}

var (
	_ Store  = (*File)(nil)
	_ Lister = (*File)(nil)
)

// fileBytes bounds how much of a file is read into memory, and therefore how much is written.
const fileBytes = 16 << 20

// NewFile returns the store in the file at path, does no I/O and leaves nothing to close. The first call reports an error
// in path; no file is open between calls. Several File values, in one process or in many, may share a path.
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

// Load implements [Store]. Load does not wait for writers, except on Windows: a rename replaces the file in one step, and
// Load always finds a whole file.
func (f *File) Load(ctx context.Context, key string) (Checkpoint, error) {
	all, err := f.load(ctx, CheckKey(key))
	if err != nil {
		return Checkpoint{}, failed("load", key, err)
	}
	return all[key], nil
}

// Keys implements [Lister]. Like Load, Keys does not wait for writers.
func (f *File) Keys(ctx context.Context) ([]string, error) {
	all, err := f.load(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: list the keys: %w", err)
	}
	return slices.Sorted(maps.Keys(all)), nil
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
	// We write the file even when the file holds the checkpoint already: an earlier failed Save may have put the content
	// in place without making the content durable.
	_, err := f.update(ctx, key, CheckSave(key, cp), func(stored Checkpoint) (Checkpoint, error) {
		return cp, Fence(stored, cp)
	})
	if err != nil {
		return failed("save", key, err)
	}
	return nil
}

// load returns the checkpoints of all keys. refused is the error of the arguments, or nil.
func (f *File) load(ctx context.Context, refused error) (map[string]Checkpoint, error) {
	if err := checkCall(ctx, errors.Join(f.bad, refused)); err != nil {
		return nil, err
	}
	if renameNeedsNoReader {
		unlock, err := f.lock(ctx)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	all, _, err := f.read()
	return all, err
}

// update replaces the checkpoint under key by the result of change. update holds the lock from the read to the rename: no
// other process can write in between. refused is the error of the arguments, or nil.
func (f *File) update(
	ctx context.Context, key string, refused error, change func(Checkpoint) (Checkpoint, error),
) (Checkpoint, error) {
	if err := checkCall(ctx, errors.Join(f.bad, refused)); err != nil {
		return Checkpoint{}, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	defer unlock()
	// ctx may have ended while we waited for the lock.
	if err := checkCall(ctx, nil); err != nil {
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
		return Checkpoint{}, fmt.Errorf("%w: %s would have %d bytes with this checkpoint, the limit is %d",
			backend.ErrTooLarge, f.path, len(text), f.limit)
	}
	if err := replace(f.disk, f.path, text, mode); err != nil {
		return Checkpoint{}, err
	}
	return cp, nil
}

// read returns the content of the file and its permission bits. Without a file, the content is empty and the bits are
// 0.
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

// lock waits until no other goroutine and no other process works on the file.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another call on %s: %w: %w", f.path, backend.ErrTransient, ctx.Err())
	}
	release, err := f.lockOS(ctx)
	if err != nil {
		<-f.turn
		return nil, err
	}
	return func() { release(); <-f.turn }, nil
}

// lockOS waits for the OS lock by trying again and again. A thread that blocks in flock could not be woken when ctx ends.
// A holder keeps the lock for two fsyncs; the longest pause is of the same order. The pauses are random: otherwise two
// processes could try at the same moments for ever.
func (f *File) lockOS(ctx context.Context) (release func(), err error) {
	const shortest, longest = time.Millisecond, 16 * time.Millisecond
	name := f.path + ".lock"
	for pause := shortest; ; pause = min(2*pause, longest) {
		release, err := f.disk.tryLock(name)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if release != nil {
			return release, nil
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s: %w: %w", name, backend.ErrTransient, ctx.Err())
		}
	}
}
