package producer

import (
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
	"github.com/headrace/headrace/internal/outcome"
)

// ErrFull means: the buffer is used up, and nothing was accepted. TryEnqueue returns ErrFull at once. Enqueue wraps ErrFull
// together with the error of its context when the context ends before there is room.
var ErrFull = batcher.ErrFull

// errClosed is the error of a producer after its Close.
var errClosed = fmt.Errorf("producer: %w", backend.ErrClosed)

// errAckTimeout ends a session whose ack is overdue. The batches that the session took may be stored.
var errAckTimeout = fmt.Errorf("no acknowledgement within AckTimeout: %w", backend.ErrIndeterminate)

// errIdle ends a session without work. No batch is in flight then, so no batch is in doubt.
var errIdle = fmt.Errorf("nothing to send for IdleTimeout: %w", backend.ErrTransient)

// stopped returns the error of a stopped producer: of its pending records and of later calls. The cause is about the producer as a
// whole, so not everything that the cause means is true of a record:
//
//   - ErrClosed always matches and ErrTransient never does, because the error is final: a caller who found ErrTransient would
//     try again for ever.
//   - ErrIndeterminate matches when the record in question may be stored. A record that no session took is not stored,
//     whatever the cause says.
//   - ErrRejected and ErrTooLarge never match. The cause may be the refusal of another record, and callers who put refused
//     records aside would put these records aside too.
func stopped(cause error, maybeStored bool) error {
	o := outcome.Of(cause).Not(backend.ErrRejected, backend.ErrTooLarge).And(backend.ErrClosed)
	o.Retry, o.MaybeStored = false, maybeStored
	if maybeStored {
		return o.Error(fmt.Errorf("producer: stopped, and records sent before may be stored: %w", cause))
	}
	return o.Error(fmt.Errorf("producer: stopped: %w", cause))
}

// refused returns the error of a record that the store refused. The error of the store may be about several batches, so its
// ErrIndeterminate does not count: only an earlier session that was lost may have stored the record.
func refused(cause error, maybeStored bool) error {
	o := outcome.Of(cause)
	o.Retry, o.MaybeStored = false, maybeStored
	if maybeStored {
		return o.Error(fmt.Errorf("producer: record refused, but an earlier attempt may have stored it: %w", cause))
	}
	return o.Error(fmt.Errorf("producer: record refused: %w", cause))
}
