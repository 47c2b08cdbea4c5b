package boltfile

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// ErrDamaged says: the file is not as bbolt has written it. The file was cut short, or some bytes have changed. Restore
// the file from a backup.
var ErrDamaged = errors.New("file is damaged")

// guard runs a step on the mapping of the file, and turns panics into ErrDamaged. bbolt panics when a page makes no
// sense. A missing page causes a memory fault, which ends the process unless the goroutine asks for a panic with
// SetPanicOnFault.
//
// guard does not catch two kinds of damage, because bbolt does not panic on them. If a branch page leads back to
// itself, bbolt descends until the stack is full. If the count of overflow pages is far too large, a commit frees all
// these pages one by one.
func (f *File) guard(step func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %s: %v", f.path, ErrDamaged, origin(), p)
		}
	}()
	return step()
}

// origin returns the name of the function that has panicked. If the panic is a mistake in the code and no damage, the
// name shows the mistake.
func origin() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, "runtime."):
			panicking = true
		case panicking:
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		if !more {
			return "unknown"
		}
	}
}
