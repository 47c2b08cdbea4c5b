package zerobus

import "time"

// A rotation is the announced end of a stream. Rotations are part of the service's normal work: producers do not count a
// rotation as a failed attempt.
type rotation struct{}

var errClosing error = rotation{}

func (rotation) Error() string { return "the server is about to close the stream" }

// Routine is for [backend.Routine].
func (rotation) Routine() bool { return true }

// rotate begins the pause after the announcement: nothing more is sent, and we wait for the acks of the batches in flight. The
// pause ends as soon as the server has acknowledged all batches. The server says how long the pause may be.
func (c *conn) rotate(pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil || c.finished {
		return
	}
	c.cause = errClosing // from now on Write refuses
	if c.advanceLocked(); c.finished {
		return
	}
	c.timer = time.AfterFunc(min(pause, c.sink.cfg.pauseLimit), c.endPause)
}

// endPause half-closes the stream. The server may still send acks then. Each of these acks saves rows from being sent twice.
func (c *conn) endPause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked()
}
