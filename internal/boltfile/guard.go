package boltfile

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// ErrDamaged says that a file is not what bbolt has written: it was cut short, or bytes of it have changed. Restore it from
// a backup.
var ErrDamaged = errors.New("file is damaged")

// guard runs a step that touches the mapping of the file. bbolt panics when a page makes no sense, and a page that is not
// there is a memory fault, which ends the process unless this goroutine asks for a panic.
//
// Two kinds of damage are not caught, as bbolt does not panic on them: a branch page that leads back to itself, where it
// descends until the stack is full, and a count of overflow pages that is far too large, all of which a commit frees one by
// one.
func (f *File) guard(step func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %s: %v", f.path, ErrDamaged, origin(), p)
		}
	}()
	return step()
}

// origin names the function that panicked, so that a mistake in the code is not taken for damage for long.
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
