// Package outcome says what an error means as a value, so that code can change one part of the meaning and keep the rest. Without the
// value, each such place would need an error type of its own that hides some sentinels of its cause.
package outcome

import (
	"context"
	"errors"
	"slices"

	"github.com/headrace/headrace/backend"
)

// An Outcome is what an error tells a caller to do.
type Outcome struct {
	MaybeStored bool    // [backend.ErrIndeterminate]: it may be stored
	Retry       bool    // [backend.ErrTransient]: trying again is safe
	Kinds       []error // the other sentinels that the error wraps
}

// kinds are the sentinels by which callers decide, apart from the two that have fields. The errors of a context are among them,
// because callers treat an error that wraps them as a clean end.
var kinds = []error{
	backend.ErrRejected, backend.ErrTooLarge, backend.ErrFenced, backend.ErrConflict, backend.ErrOutOfRange, backend.ErrNotFound,
	backend.ErrUnauthorized, backend.ErrUnsupported, backend.ErrStreamClosed, backend.ErrClosed, context.Canceled, context.DeadlineExceeded,
}

// Of returns what err means.
func Of(err error) Outcome {
	o := Outcome{MaybeStored: errors.Is(err, backend.ErrIndeterminate), Retry: errors.Is(err, backend.ErrTransient)}
	for _, k := range kinds {
		if errors.Is(err, k) {
			o.Kinds = append(o.Kinds, k)
		}
	}
	return o
}

// And returns o with a further kind.
func (o Outcome) And(kind error) Outcome {
	o.Kinds = append(slices.Clip(o.Kinds), kind)
	return o
}

// Not returns o without some kinds.
func (o Outcome) Not(not ...error) Outcome {
	o.Kinds = slices.DeleteFunc(slices.Clone(o.Kinds), func(k error) bool { return slices.Contains(not, k) })
	return o
}

// Error returns an error with the text of err that means o. Everything in the tree of err that is no sentinel is found by errors.Is
// and errors.As as before.
func (o Outcome) Error(err error) error { return &outcomeError{err, o} }

// The wrapped error is embedded and not unwrapped: otherwise errors.Is would find the sentinels of the wrapped error.
type outcomeError struct {
	error
	outcome Outcome
}

// Is reports whether target is a sentinel that the outcome has, or another error in the tree.
func (e *outcomeError) Is(target error) bool {
	switch {
	case target == backend.ErrIndeterminate:
		return e.outcome.MaybeStored
	case target == backend.ErrTransient:
		return e.outcome.Retry
	case slices.Contains(kinds, target):
		return slices.Contains(e.outcome.Kinds, target)
	}
	return errors.Is(e.error, target)
}

// As looks into the tree of the error, in which no sentinel has a type of its own.
func (e *outcomeError) As(target any) bool { return errors.As(e.error, target) }
