package consumer

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// A DeadLetter is a record that was given up, with what is needed to look into it and to feed it in again.
type DeadLetter struct {
	Value    []byte // as it was read
	Headers  backend.Headers
	Offset   backend.Offset // in the stream it came from
	Attempts int            // by a handler; 0 for a record that could not be decoded or that a Pipe's destination refused
	Cause    string         // the text of the last error
}

// A letterbox is a Producer[DeadLetter] or a stand-in. Send returns when the letters are durable.
type letterbox interface {
	Send(context.Context, ...DeadLetter) error
}
