package producer

import (
	"fmt"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A SendError is the error of a [Producer.Send] of several values that were all accepted. It names every value that failed.
// The others are stored.
type SendError struct {
	Values int                    // given to Send
	Failed []*backend.RecordError // at least one; Index counts from the first value
}

// sendErrorShown is how many failures the text tells. A stopped producer may fail thousands with one cause.
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

// Unwrap returns the failures. So errors.Is reports what is true of at least one value.
func (e *SendError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f
	}
	return errs
}
