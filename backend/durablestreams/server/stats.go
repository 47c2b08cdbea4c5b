package server

import (
	"sync/atomic"

	"github.com/headrace/headrace/internal/calls"
)

// A Call is a kind of call and how the call ended.
type Call = calls.Call

// Stats is what a server has counted since New.
type Stats struct {
	Calls map[Call]int64 // requests that have ended
	Open  int64          // requests that have not ended: live readers among them

	Appends   int64 // stored; a resend that the server has recognized does not count
	Bytes     int64 // stored; JSON counts without the white space that the server drops
	ReadBytes int64 // read by clients; JSON counts as it is stored
	Faults    int64 // injected faults that struck

	Streams int // that there are now; 0 for a Storage that is not of this package
}

type counters struct {
	calls                     calls.Counter
	appends, bytes, readBytes atomic.Int64
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	c := &s.handler.stats
	out := Stats{
		Appends: c.appends.Load(), Bytes: c.bytes.Load(), ReadBytes: c.readBytes.Load(), Faults: s.handler.faults.Struck(),
	}
	out.Calls, out.Open = c.calls.Counts()
	if own, ok := s.handler.storage.(interface{ countStreams() int }); ok {
		out.Streams = own.countStreams()
	}
	return out
}

// countStreams returns how many streams readers can see. An expired stream counts until the sweep removes it.
func (e *engine) countStreams() (n int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, s := range e.names {
		if !s.Hidden {
			n++
		}
	}
	return n
}

// stored counts bytes that an append or a creation has stored. A creation without data stores nothing.
func (c *counters) stored(data []byte) {
	if len(data) > 0 {
		c.appends.Add(1)
		c.bytes.Add(int64(len(data)))
	}
}

// read counts a chunk whose bytes are about to be sent.
func (c *counters) read(chunk Chunk) { c.readBytes.Add(int64(chunk.Next - chunk.From)) }

// name returns what the counters call the class of a single request.
func (op Op) name() string {
	switch op {
	case CreateCall:
		return "create"
	case AppendCall:
		return "append"
	case CatchUpRead:
		return "read"
	case LongPollRead:
		return "long poll"
	case EventRead:
		return "read events"
	case HeadCall:
		return "head"
	case DeleteCall:
		return "delete"
	}
	return "other" // a preflight, or a method that the protocol does not have
}
