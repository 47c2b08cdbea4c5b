package zerobus

import (
	"fmt"

	"github.com/headrace/headrace/internal/httpwire"
)

// A StreamError is about an open stream. The ID is the service's own name of the stream: the operators of the service ask for
// the ID. Find a StreamError with errors.As in the error of a producer, of a receipt, or of a [Stream].
type StreamError struct {
	Table string
	ID    string // the service's name of the stream
	Err   error
}

// Error names the stream. The error around the StreamError names the table.
func (e *StreamError) Error() string { return fmt.Sprintf("stream %s: %v", httpwire.Clip(e.ID), e.Err) }

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }
