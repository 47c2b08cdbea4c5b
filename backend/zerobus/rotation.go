package zerobus

import "time"

// A rotation is the end of a stream that the server announces. It is part of the service's normal work: producers do not
// count it as a failed attempt.
type rotation struct{}

var errClosing error = rotation{}

func (rotation) Error() string { return "the server is about to close the stream" }

// Routine is what [backend.Routine] looks for.
func (rotation) Routine() bool { return true }

// rotate begins the pause that follows the announcement: nothing more is sent, and we wait for the acks of what is in
// flight. The pause ends as soon as the server has acknowledged all of it.
func (c *conn) rotate(pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil || c.finished {
		return
	}
	c.cause = errClosing
	if c.advanceLocked(); c.finished {
		return
	}
	c.timer = time.AfterFunc(min(pause, c.sink.cfg.pauseLimit), c.endPause)
}

// endPause half-closes the stream. The server may still send acks upon that, which saves those rows from being sent twice.
func (c *conn) endPause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked()
}
