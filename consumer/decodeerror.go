package consumer

import (
	"fmt"

	"github.com/headrace/headrace/backend"
)

// A DecodeError is a record that the codec could not decode: poison. It holds the record as it was read: Value is the
// raw bytes, Offset where it is, Next where a consumer that wants to leave it behind may start.
type DecodeError struct {
	backend.Record
	Err error // the codec's
}

// The message names the place and the size and not the bytes, which may be confidential.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("consumer: decode record at %q (%d bytes): %v", e.Offset, len(e.Value), e.Err)
}

// Unwrap returns the codec's error.
func (e *DecodeError) Unwrap() error { return e.Err }
