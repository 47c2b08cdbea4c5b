package consumer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
)

// without is an error that is all that its cause is, except what would lead the caller to do the wrong thing.
type without struct {
	error  // not unwrapped: Is and As decide
	hidden []error
}

func (e *without) Is(target error) bool {
	return !slices.Contains(e.hidden, target) && errors.Is(e.error, target)
}

func (e *without) As(target any) bool { return errors.As(e.error, target) }

// gaveUp is the error after the last attempt. It is final and so no [backend.ErrTransient], or a caller that tries again
// what is transient would do so without an end.
func gaveUp(attempts int, err error) error {
	return &without{fmt.Errorf("gave up after %d attempts without progress: %w", attempts, err), []error{backend.ErrTransient}}
}
