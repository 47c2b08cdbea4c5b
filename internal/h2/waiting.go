package h2

import (
	"context"
	"encoding/binary"
	"net/http"
)

// A Waiting is a request of a [Pool] from its Start to its end.
type Waiting struct {
	pool     *Pool
	prepare  func(context.Context) (*http.Request, error) // nil when the request was sent
	listener Listener

	// The lock of the pool guards these.
	conn   *shared // nil before the request is sent
	number uint32  // of the stream of HTTP/2
	over   bool    // the listener has heard of the end or has returned false, or Stop was called

	unreturned int // bytes for which the server has not got new room yet; only the goroutine of the connection uses unreturned
}

// Stop gives the request up. Stop does not wait for the network.
func (w *Waiting) Stop() {
	c, first := w.leave()
	if first && c != nil {
		c.reset(w.number)
	}
}

// end tells the listener that the request has ended, unless the request is over.
func (w *Waiting) end(err error, lost bool) {
	if _, first := w.leave(); first {
		w.listener.Ended(err, lost)
	}
}

// leave marks the request as over and takes it from its connection. first is true for the first call alone.
func (w *Waiting) leave() (c *shared, first bool) {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	if w.over {
		return nil, false
	}
	w.over = true
	if w.conn != nil {
		w.conn.removeLocked(w.number)
	}
	return w.conn, true
}

// codeCancel is the error code (CANCEL) for a request that nobody needs any more.
var codeCancel = binary.BigEndian.AppendUint32(nil, 8)

// reset tells the server that a request was given up.
func (c *shared) reset(number uint32) {
	c.link.post(appendFrame(nil, frameResetStream, 0, number, codeCancel...))
}
