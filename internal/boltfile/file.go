package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse says: another process, or another Open in this process, holds the file.
var ErrInUse = errors.New("file is in use: only one process at a time can open a file of bbolt")

// A File is a bbolt database. Its methods may be called from any goroutine.
//
// When a reader meets damage, only the call of this reader fails, because other pages may be whole. When a writer meets
// damage, the File writes nothing more. A commit on top of damage could destroy undamaged data.
type File struct {
	db   *bbolt.DB
	path string
	file *os.File // the file that bbolt has mapped; nil if the database was given to Of
	page int      // bytes of a page of file

	mu       sync.Mutex // guards the fields below
	readonly error      // why the File writes nothing more
	// broken is why the File begins no more transactions: bbolt has panicked while it held its locks, so the next
	// transaction would wait for these locks for ever.
	broken error
}

// Open opens the file at path with bbolt, and creates the file if it does not exist. Open refuses an empty file, and a
// file shorter than its meta pages say, with ErrDamaged.
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
	case err != nil:
		return nil, openFailed(path, err)
	}
	f.page = f.db.Info().PageSize
	return f, nil
}

// openFailed says what is wrong with the path or the file. Errors of the file system and of damage name the file
// already.
func openFailed(path string, err error) error {
	var system *os.PathError
	switch {
	case path == "":
		return fmt.Errorf("open: the path is empty: %w", err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("open %s: %w", path, ErrInUse) // the timeout of bbolt says nothing more
	case errors.Is(err, bolterrors.ErrInvalid):
		return fmt.Errorf("open %s: this is not a file of bbolt: %w", path, err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: make the directory first", err)
	case errors.As(err, &system):
		return err
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("open %w", err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

func (f *File) open(mode os.FileMode, options bbolt.Options) error {
	// We keep the file of bbolt, because bbolt does not give the file away, and two steps need the file: the close
	// after a panic, and the look at the length in usable. Later calls are for other files: bbolt opens the file of a
	// backup in this way too (Tx.CopyFile), and other goroutines use the database meanwhile.
	options.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		opened, err := os.OpenFile(name, flag, mode)
		if f.file == nil {
			f.file = opened
		}
		return opened, err
	}
	err := f.guard(func() (err error) {
		f.db, err = bbolt.Open(f.path, mode, &options)
		return err
	})
	if errors.Is(err, ErrDamaged) && f.file != nil {
		_ = f.file.Close() // after a panic, bbolt does not close the file, and the next Open would wait for the file's lock
	}
	return err
}

// Of returns the File of a database that the caller has opened, and will close.
func Of(db *bbolt.DB) *File { return &File{db: db, path: db.Path()} }

// Bolt returns the database. Damage that the caller meets through the database itself causes a panic or a signal.
func (f *File) Bolt() *bbolt.DB { return f.db }

// View runs read in a transaction, as bbolt's View does.
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
	// A panic before read began has left bbolt's locks held. A panic inside read has not: bbolt's View has rolled the
	// transaction back.
	if !begun && errors.Is(err, ErrDamaged) {
		f.end(&f.broken, err)
	}
	return err
}

// Update runs write in a transaction, as bbolt's Update does.
func (f *File) Update(write func(*bbolt.Tx) error) error {
	tx, err := f.Begin()
	if err != nil {
		return err
	}
	// An error of write and damage end the transaction in the same way: nothing of it is stored.
	if err := f.Write(func() error { return write(tx) }); err != nil {
		f.Rollback(tx)
		return err
	}
	// After an error that is no panic, bbolt has rolled the transaction back itself.
	if err = f.Write(tx.Commit); errors.Is(err, ErrDamaged) {
		f.Rollback(tx)
	}
	return err
}

// Begin begins a transaction that writes. Every step of the caller on the file must run in Write, because Write turns
// damage into an error. The caller ends the transaction with a Commit in Write, or with Rollback.
func (f *File) Begin() (tx *bbolt.Tx, err error) {
	if err := f.usable(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	// The check comes before the transaction begins. A transaction after damage could only be rolled back.
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

// Write runs a step of a transaction from Begin. After damage, Write runs no later step and no Commit.
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

// Rollback ends a transaction from Begin, even if its Commit has met damage.
func (f *File) Rollback(tx *bbolt.Tx) {
	// A panic in the rollback may leave the lock of the writer held, so no later transaction may begin.
	if err := f.guard(tx.Rollback); errors.Is(err, ErrDamaged) {
		f.end(&f.broken, err)
	}
}

// Close closes the database. If bbolt would wait for its own locks for ever, Close closes only the file. The memory
// mapping then stays until the process ends.
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

// usable refuses a file without its first two pages. bbolt reads these pages at the beginning of a transaction, while
// it holds its locks. A panic there would leave the locks held, and every later transaction would wait for ever.
func (f *File) usable() error {
	f.mu.Lock()
	err := f.broken
	f.mu.Unlock()
	if err != nil || f.file == nil {
		return err
	}
	// The look at the length comes before each transaction. The file can be cut between the look and the transaction;
	// the guard catches the panic then, and View or Begin remembers that the locks are held.
	//
	// Seek tells the length without the times of the file. Stat would read the times, and then a file system with exact
	// times writes new ones with the next page: a commit of one record would take 15 % longer (ext4 on Linux). Nobody
	// needs the position that Seek moves, because bbolt names the position of each read and write.
	size, err := f.file.Seek(0, io.SeekEnd)
	if err != nil || size >= int64(2*f.page) {
		return nil // a closed file is no damage, and bbolt reports it
	}
	return fmt.Errorf("%s: %d bytes are left of it: %w", f.path, size, ErrDamaged)
}

// end stores err in reason, unless reason is set. The first error tells the operator most.
func (f *File) end(reason *error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *reason == nil {
		*reason = err
	}
}
