package h2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	// waitingWindow is how much the server may send on a request before we give new room. A response of interest is given up at
	// its first bytes, and the rest of the window has left the server in vain.
	waitingWindow = 4 << 10

	// mostWaiting is the most requests that we put on a connection, if the server allows more or does not say.
	mostWaiting = 1000
)

var (
	errUnused  = errors.New("the connection has no requests")
	errLeaving = errors.New("the server is about to close the connection")
)

// A shared is a connection with many requests. Lock order: the lock of the pool comes before that of the link.
//
// The headers of the responses are not decoded: a status of failure comes with a body, and the listener sees that the body is not
// what it waits for. So a shared needs no table of HPACK.
type shared struct {
	pool *Pool
	link *Stream // reads and writes frames; the methods for the request of a Stream are not used

	// The lock of the pool guards these.
	requests map[uint32]*Waiting // by their numbers; nil when the connection has ended
	next     uint32              // the number of the next request
	most     int                 // as many requests at a time are allowed

	// Only the goroutine that reads uses these.
	met        bool // the SETTINGS of the server have come
	unreturned int  // bytes of DATA frames for which the server has not got new room yet
}

func newShared(p *Pool, c net.Conn) *shared {
	return &shared{pool: p, link: newStream(c, p.pingAfter), requests: map[uint32]*Waiting{}, next: 1, most: mostWaiting}
}

// greet sends our SETTINGS and waits for those of the server: they say how many requests the server allows.
func (c *shared) greet() error {
	first := []byte(preface)
	first = appendFrame(first, frameSettings, 0, 0, 0, settingEnablePush, 0, 0, 0, 0, 0, settingInitialWindow, 0, 0, waitingWindow>>8, waitingWindow&0xff)
	c.link.post(first)
	for !c.met {
		if err := c.frame(); err != nil {
			return err
		}
	}
	return nil
}

// start sends a request. start returns false when the connection takes no more requests.
func (c *shared) start(w *Waiting, req *http.Request) (sent bool, err error) {
	block, _, err := encodeHeaders(req)
	if err != nil {
		return false, err
	}
	c.pool.mu.Lock()
	switch {
	case w.over: // Stop was faster
		c.spareLocked()
		c.pool.mu.Unlock()
		return true, nil
	case c.requests == nil || len(c.requests) >= c.most || c.next > mostWindow: // numbers have 31 bits, as windows do
		c.pool.mu.Unlock()
		return false, nil
	}
	w.conn, w.number = c, c.next
	c.requests[c.next] = w
	c.next += 2
	// The number and the place among the frames are one step: numbers must ascend, and a RST_STREAM must not leave before its
	// request.
	c.link.post(appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, w.number, block...))
	c.pool.mu.Unlock()
	// Without this wait, a network that takes no bytes would not stop the pool from putting more requests into memory.
	if err := c.link.flush(); err != nil {
		c.end(err)
	}
	return true, nil
}

// run reads until the connection ends.
func (c *shared) run() {
	for {
		if err := c.frame(); err != nil {
			c.end(c.link.lost(err))
			return
		}
	}
}

// frame reads a frame and obeys it.
func (c *shared) frame() error {
	length, typ, f, number, err := c.link.head()
	if err != nil {
		return err
	}
	payload, err := c.link.payload(length)
	if err != nil {
		return err
	}
	switch typ {
	case frameData:
		return c.data(number, f, payload)
	case frameHeaders:
		if w := c.request(number); w != nil && f&flagEndStream != 0 {
			w.end(errAnswered, false)
		}
	case frameResetStream:
		err := reset(payload)
		if w := c.request(number); w != nil {
			w.end(err, false)
		}
	case frameSettings:
		return c.settings(f, payload)
	case framePing:
		return c.link.ping(f, payload)
	case frameGoAway:
		// The server may go on with our requests for a while. But every request would end a moment later, and most of them can
		// move to another server now without a loss.
		if err := goAway(payload); err != nil {
			return err
		}
		return errLeaving
	case framePush:
		return errors.New("the server sent a PUSH_PROMISE, which is not allowed")
	}
	// CONTINUATION belongs to headers, and WINDOW_UPDATE is for bodies of requests.
	return nil
}

// request returns the request of a number, or nil if the request is over.
func (c *shared) request(number uint32) *Waiting {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.requests[number]
}

// data hands the payload of a DATA frame to the listener.
func (c *shared) data(number uint32, f flags, payload []byte) error {
	// The payload counts against the window of the connection also when its request is over.
	if c.unreturned += len(payload); c.unreturned >= firstWindow/2 {
		if err := c.link.answer(appendWindowUpdate(nil, 0, c.unreturned)); err != nil {
			return err
		}
		c.unreturned = 0
	}
	w := c.request(number)
	if w == nil {
		return nil
	}
	body, err := trim(payload, f&^flagPriority) // HEADERS frames alone have a priority
	if err != nil {
		return err
	}
	if len(body) > 0 && !w.listener.Data(body) {
		if _, first := w.leave(); first && f&flagEndStream == 0 {
			c.reset(number)
		}
		return nil
	}
	if f&flagEndStream != 0 {
		w.end(errAnswered, false)
		return nil
	}
	if w.unreturned += len(payload); w.unreturned < waitingWindow/2 {
		return nil
	}
	n := w.unreturned
	w.unreturned = 0
	return c.link.answer(appendWindowUpdate(nil, number, n))
}

// settingMostStreams is the number of the setting for the most requests at a time.
const settingMostStreams = 3

// settings obeys the settings of the server, and says so.
func (c *shared) settings(f flags, payload []byte) error {
	if f&flagAck != 0 {
		return nil
	}
	c.met = true
	for b := range slices.Chunk(payload, 6) {
		if len(b) < 6 {
			return fmt.Errorf("a SETTINGS frame of %d bytes", len(payload))
		}
		if binary.BigEndian.Uint16(b) == settingMostStreams {
			c.pool.mu.Lock()
			c.most = int(min(binary.BigEndian.Uint32(b[2:]), mostWaiting))
			c.pool.mu.Unlock()
		}
	}
	return c.link.answer(appendFrame(nil, frameSettings, flagAck, 0))
}

// removeLocked forgets a request.
func (c *shared) removeLocked(number uint32) {
	delete(c.requests, number)
	c.spareLocked()
}

// spareLocked lets a connection without requests wait for the next request for a while, and closes the connection then.
func (c *shared) spareLocked() {
	if len(c.requests) > 0 || c.requests == nil {
		return
	}
	wait := c.pool.connections.IdleConnTimeout
	if c.pool.closed {
		wait = 0
	}
	time.AfterFunc(wait, c.closeUnused)
}

func (c *shared) closeUnused() {
	c.pool.mu.Lock()
	unused := c.requests != nil && len(c.requests) == 0
	if unused {
		c.requests = nil // from here on, nobody can start a request
	}
	c.pool.mu.Unlock()
	if unused {
		c.end(errUnused)
	}
}

// end closes the connection, and ends its requests. A further end does nothing.
func (c *shared) end(err error) {
	c.pool.mu.Lock()
	lost := c.requests
	c.requests = nil
	if i := slices.Index(c.pool.shared, c); i >= 0 {
		c.pool.shared = slices.Delete(c.pool.shared, i, i+1)
	}
	c.pool.mu.Unlock()
	_ = c.link.Close()
	for _, w := range lost {
		w.end(err, true)
	}
}
