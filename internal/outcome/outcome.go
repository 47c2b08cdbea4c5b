// Package outcome turns the meaning of an error into a value. Code can change one part of the value and keep the rest.
// Without the value, each place in the code would need its own error type to hide some sentinels of a cause.
package outcome

import (
	"context"
	"errors"
	"slices"

	"github.com/headrace/headrace/backend"
)

// An Outcome tells a caller how to go on after an error.
type Outcome struct {
	MaybeStored bool    // [backend.ErrIndeterminate]: it may be stored
	Retry       bool    // [backend.ErrTransient]: trying again is safe
	Kinds       []error // the other sentinels that the error wraps
}

// kinds are the sentinels by which callers decide, apart from the two with a field in Outcome. The errors of a context
// are among the kinds, because callers treat the end of a context as a clean end.
var kinds = []error{
	backend.ErrRejected, backend.ErrTooLarge, backend.ErrFenced, backend.ErrConflict, backend.ErrOutOfRange, backend.ErrNotFound,
	backend.ErrUnauthorized, backend.ErrUnsupported, backend.ErrStreamClosed, backend.ErrClosed, context.Canceled, context.DeadlineExceeded,
}

// Of returns the meaning of err.
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

// Error returns an error with the text of err and the meaning o. errors.Is and errors.As find everything else in the tree
// of err as before.
func (o Outcome) Error(err error) error { return &outcomeError{err, o} }

// The wrapped error is embedded and not unwrapped: otherwise errors.Is would find the sentinels of the wrapped error.
type outcomeError struct {
	error
	outcome Outcome
}

// Is reports whether target is a sentinel of the outcome, or another error in the tree.
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
