package producer

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A SendError is the error of a [Producer.Send] of several values, after all values were accepted. A SendError names every
// value that failed. The other values are stored.
type SendError struct {
	Values int                    // number of values given to Send
	Failed []*backend.RecordError // at least one; Index counts from the first value
}

// sendErrorShown is the number of failures in the text. A stopped producer may fail thousands of values with the same cause.
const sendErrorShown = 3

func (e *SendError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d values failed", len(e.Failed), e.Values)
	if len(e.Failed) < e.Values {
		text.WriteString(", the others are stored")
	}
	for i, f := range e.Failed {
		if i == sendErrorShown {
			fmt.Fprintf(&text, "; and %d more", len(e.Failed)-i)
			break
		}
		fmt.Fprintf(&text, "; value %d: %v", f.Index+1, f.Err)
	}
	return text.String()
}

// Unwrap returns the failures. Therefore errors.Is reports whether at least one value failed with an error.
func (e *SendError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f
	}
	return errs
}
