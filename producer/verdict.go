package producer

import (
	"errors"

	"github.com/headrace/headrace/backend"
)

// isRefusal reports whether err refuses a batch: the first batch that is not acknowledged or, together with ErrIndeterminate, one
// of the batches that are not acknowledged.
func isRefusal(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// judge decides what follows from the reason for the end of a session. A refusal is carried out. After an error that allows
// another try, judge returns nil. Every other error is returned as fatal.
func (e *engine) judge(reason error) (refused bool, fatal error) {
	e.mu.Lock()
	sent := e.window.sent // the parts that the reason is about
	suspects := sent
	if e.sendFailed { // the reason may be the refusal of the part that Send did not take
		suspects++
	}
	e.mu.Unlock()
	if isRefusal(reason) && suspects > 0 {
		unsure := errors.Is(reason, backend.ErrIndeterminate) && suspects > 1
		return true, e.refuse(reason, suspects, unsure)
	}
	switch {
	case nothingStored(reason):
		// The producer stops. Unacked must not report these parts as records that may be stored.
		e.mu.Lock()
		e.window.clearTaken()
		e.mu.Unlock()
		return false, reason
	case errors.Is(reason, backend.ErrFenced):
		// Another producer has claimed the place and keeps it, even when the fate of our batches is unknown.
		return false, reason
	case errors.Is(reason, backend.ErrIndeterminate):
		if sent > 0 && e.atMostOnce && !errors.Is(reason, backend.ErrTransient) {
			return false, reason
		}
		e.mu.Lock()
		e.window.markLost()
		e.mu.Unlock()
		return false, nil
	case errors.Is(reason, backend.ErrTransient):
		// The parts stay marked as taken, although they are not stored or a resend is recognized: a part that was taken keeps
		// its records, because the store may compare a resend with what it has got before.
		return false, nil
	}
	return false, reason
}

// nothingStored reports whether reason is final and says: the store has stored nothing that the session took and did not
// acknowledge. Parts taken by an earlier session may be stored all the same.
func nothingStored(reason error) bool {
	if errors.Is(reason, backend.ErrIndeterminate) {
		return false
	}
	for _, kind := range []error{backend.ErrFenced, backend.ErrConflict, backend.ErrNotFound, backend.ErrUnauthorized, backend.ErrStreamClosed} {
		if errors.Is(reason, kind) {
			return !errors.Is(reason, backend.ErrTransient)
		}
	}
	return false
}
