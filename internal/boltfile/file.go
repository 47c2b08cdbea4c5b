package boltfile

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse says that another process, or another Open in this one, holds the file.
var ErrInUse = errors.New("file is in use")

// A File is a bbolt database. Its methods may be called from any goroutine.
//
// When a reader meets damage, only this call fails, because other pages may be whole. When a writer meets damage, nothing more is
// written, because nobody knows what a further commit would build on.
type File struct {
	db   *bbolt.DB
	path string
	file *os.File // the file that bbolt has mapped; nil if the caller of Of has opened the database
	page int      // bytes of a page of file

	mu       sync.Mutex // guards the fields below
	readonly error      // why nothing is written any more
	broken   error      // why no transaction begins any more: bbolt has panicked with its locks held, and would wait for them for ever
}

// Open opens the file at path with bbolt, and creates it when there is none. A file that is shorter than it was, or empty,
// is refused with ErrDamaged.
func Open(path string, mode os.FileMode, options bbolt.Options) (*File, error) {
	f := &File{path: path}
	err := checkLength(path)
	if errors.Is(err, os.ErrNotExist) {
		create(path, mode)
		err = nil
	}
	if err == nil {
		err = f.open(mode, options)
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w: %w", path, ErrInUse, err)
	case errors.Is(err, ErrDamaged): // it names the file
		return nil, fmt.Errorf("open %w", err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f.page = f.db.Info().PageSize
	return f, nil
}

func (f *File) open(mode os.FileMode, options bbolt.Options) error {
	options.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		f.file, err = os.OpenFile(name, flag, mode)
		return f.file, err
	}
	err := f.guard(func() (err error) {
		f.db, err = bbolt.Open(f.path, mode, &options)
		return err
	})
	if errors.Is(err, ErrDamaged) && f.file != nil {
		_ = f.file.Close() // the panic has kept bbolt from closing the file, so the lock of the file would stay
	}
	return err
}

// Of returns the File of a database that the caller has opened, and will close.
func Of(db *bbolt.DB) *File { return &File{db: db, path: db.Path()} }

// Bolt returns the database. Nothing guards what is read and written through it.
func (f *File) Bolt() *bbolt.DB { return f.db }

// View is bbolt's View.
func (f *File) View(read func(*bbolt.Tx) error) error {
	if err := f.usable(); err != nil {
		return err
	}
	begun := false
	err := f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			begun = true
			return read(tx)
		})
	})
	if !begun && errors.Is(err, ErrDamaged) {
		f.end(&f.broken, err)
	}
	return err
}

// Update is bbolt's Update.
func (f *File) Update(write func(*bbolt.Tx) error) error {
	tx, err := f.Begin()
	if err != nil {
		return err
	}
	if err := f.Write(func() error { return write(tx) }); err != nil {
		f.Rollback(tx)
		return err
	}
	if err = f.Write(tx.Commit); errors.Is(err, ErrDamaged) {
		f.Rollback(tx)
	}
	return err
}

// Begin begins a transaction that writes. Every step that touches the file must run in Write. The transaction ends with a Commit in
// Write, or with Rollback.
func (f *File) Begin() (tx *bbolt.Tx, err error) {
	if err := f.usable(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	err = f.readonly
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	err = f.guard(func() (err error) {
		tx, err = f.db.Begin(true)
		return err
	})
	if errors.Is(err, ErrDamaged) {
		f.end(&f.broken, err)
	}
	return tx, err
}

// Write runs a step of a transaction that Begin has begun. After damage no later step runs, and no Commit.
func (f *File) Write(step func() error) error {
	f.mu.Lock()
	err := f.readonly
	f.mu.Unlock()
	if err != nil {
		return err
	}
	err = f.guard(step)
	if errors.Is(err, ErrDamaged) {
		f.end(&f.readonly, err)
	}
	return err
}

// Rollback ends a transaction that Begin has begun, also if its Commit has met damage.
func (f *File) Rollback(tx *bbolt.Tx) {
	if err := f.guard(tx.Rollback); errors.Is(err, ErrDamaged) {
		f.end(&f.broken, err)
	}
}

// Close is bbolt's Close. If bbolt would wait for its own locks for ever, Close closes only the file, and the mapping stays until
// the process ends.
func (f *File) Close() error {
	f.mu.Lock()
	err := f.broken
	f.mu.Unlock()
	if err == nil {
		return f.guard(f.db.Close)
	}
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	return err
}

// usable refuses a file that has lost its first two pages. bbolt reads them at the beginning of a transaction, with its locks held.
// A panic there would leave the locks held.
func (f *File) usable() error {
	f.mu.Lock()
	err := f.broken
	f.mu.Unlock()
	if err != nil || f.file == nil {
		return err
	}
	info, err := f.file.Stat()
	if err != nil || info.Size() >= int64(2*f.page) {
		return nil // if the file is closed, bbolt refuses it
	}
	return fmt.Errorf("%s: %d bytes are left of it: %w", f.path, info.Size(), ErrDamaged)
}

// end keeps the first reason.
func (f *File) end(reason *error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *reason == nil {
		*reason = err
	}
}
