// Package calls counts the calls of a server, by name and status. The servers of this module share the package, so a
// page or a metrics system shows all servers in the same way.
package calls

import (
	"net/http"
	"strconv"
	"sync"
)

// A Call says what kind of call a client made and how the call ended.
type Call struct {
	Name   string // the class of requests, for example "append"
	Status string // of the answer: a number of HTTP or a code of gRPC; Cut if the answer did not become complete
}

// Cut is the Status of a call whose answer ended early: the client has left, or a fault broke the connection. A server
// often cannot tell the two apart. Cut is the usual end of a following session.
const Cut = "cut"

// A Counter counts the calls of one server. Any goroutine may call its methods. The zero Counter has counted nothing.
type Counter struct {
	mu    sync.Mutex
	ended map[Call]int64
	open  int64
}

// Begin counts a call that begins. The call must End.
func (c *Counter) Begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
}

// End counts a call that has ended. The name is known only at the end, because the server must read the request first.
func (c *Counter) End(name, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.ended == nil {
		c.ended = make(map[Call]int64)
	}
	c.ended[Call{name, status}]++
}

// Counts returns how many calls have ended, by name and status, and how many have not ended. The caller may keep the map.
func (c *Counter) Counts() (ended map[Call]int64, open int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended = make(map[Call]int64, len(c.ended))
	for call, n := range c.ended {
		ended[call] = n
	}
	return ended, c.open
}

// A Response is a ResponseWriter that remembers the status of the answer.
type Response struct {
	http.ResponseWriter
	status int // 0 before the answer begins
}

// Unwrap lets an http.ResponseController find the real ResponseWriter.
func (r *Response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (r *Response) WriteHeader(status int) {
	// A status of 1xx announces the answer and does not begin it.
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Status returns the status of an answer, or Cut if the answer is not whole. An answer is whole when its handler has returned
// and has not panicked.
func (r *Response) Status(whole bool) string {
	switch {
	case !whole:
		return Cut
	case r.status == 0, r.status == http.StatusOK: // net/http sends 200 for a handler that names no status
		return "200"
	case r.status == http.StatusNoContent:
		return "204"
	}
	return strconv.Itoa(r.status)
}
