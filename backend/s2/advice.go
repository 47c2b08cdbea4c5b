package s2

import (
	"errors"
	"time"
)

// advicePause is the shortest time between two reconnections for the server's advice. A server about to stop repeats the
// advice in every frame, and the next server may be about to stop too: without the pause, sessions would do nothing but
// reconnect.
const advicePause = time.Minute

// adviceDue reports whether a session may follow advice now. last is the time of the previous such reconnection.
func adviceDue(last time.Time) bool { return last.IsZero() || time.Since(last) >= advicePause }

var errAdvised = &routineEnd{errors.New("the server advises to reconnect")}

// A routineEnd is the end of a session in normal operation. Producers and consumers do not count it as a failed attempt.
type routineEnd struct{ error }

func (e *routineEnd) Unwrap() error { return e.error }

// Routine is the method for [backend.Routine].
func (e *routineEnd) Routine() bool { return true }
