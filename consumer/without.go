package consumer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
)

// A without is an error that hides some sentinels of its cause, because a caller that finds them would do the wrong
// thing. It answers everything else as its cause does.
type without struct {
	error          // embedded and not unwrapped: Is and As decide what a caller finds
	hidden []error // sentinels that Is does not find
}

// Is reports whether the cause is target, unless target is hidden.
func (e *without) Is(target error) bool {
	return !slices.Contains(e.hidden, target) && errors.Is(e.error, target)
}

// As works on the cause. No hidden sentinel is a type, so As hides nothing.
func (e *without) As(target any) bool { return errors.As(e.error, target) }

// gaveUp returns the error after the last attempt. It hides [backend.ErrTransient], because the consumer will not try
// again: a caller that repeats whatever is transient would repeat without end.
func gaveUp(attempts int, err error) error {
	return &without{fmt.Errorf("gave up after %d attempts without progress: %w", attempts, err), []error{backend.ErrTransient}}
}
