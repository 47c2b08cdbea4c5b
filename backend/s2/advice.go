package s2

import (
	"errors"
	"time"
)

// advicePause is how long advice to reconnect is not followed again after it was followed.
const advicePause = time.Minute

// adviceDue reports whether advice may be followed, when it was followed last at that time.
func adviceDue(last time.Time) bool { return last.IsZero() || time.Since(last) >= advicePause }

var errAdvised = &routineEnd{errors.New("the server advises to reconnect")}

// A routineEnd is the end of a session that is no failure: producers and consumers do not count it as an attempt.
type routineEnd struct{ error }

func (e *routineEnd) Unwrap() error { return e.error }

// Routine is what [backend.Routine] looks for.
func (e *routineEnd) Routine() bool { return true }
