package server

import (
	"sync"
)

// maxPending is how many batches of a session wait for their ack before no more are read.
const maxPending = 4096

// An ackQueue holds the acks of a session in the order of their inputs, while storage settles them in any.
type ackQueue struct {
	mu    sync.Mutex
	first uint64 // the slot of acks[0]
	acks  []pendingAck
	err   error // why the session ends, behind the acks; io.EOF: the client has ended it
	gone  bool  // nobody writes any more
	ready chan struct{}
	room  chan struct{}
}

type pendingAck struct {
	ack     ack
	err     error
	settled bool
}

func newAckQueue() *ackQueue {
	return &ackQueue{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reserve takes the next slot, and waits while there are too many.
func (q *ackQueue) reserve() (slot uint64, ok bool) {
	for {
		q.mu.Lock()
		switch {
		case q.gone:
			q.mu.Unlock()
			return 0, false
		case len(q.acks) < maxPending:
			q.acks = append(q.acks, pendingAck{})
			slot = q.first + uint64(len(q.acks)) - 1
			q.mu.Unlock()
			return slot, true
		}
		q.mu.Unlock()
		<-q.room
	}
}

// unreserve gives back the slot reserved last, which was not accepted.
func (q *ackQueue) unreserve() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acks = q.acks[:len(q.acks)-1]
}

func (q *ackQueue) settle(slot uint64, a ack, err error) {
	q.mu.Lock()
	q.acks[slot-q.first] = pendingAck{a, err, true}
	head := slot == q.first
	q.mu.Unlock()
	if head {
		signal(q.ready)
	}
}

// end says that nothing is reserved any more.
func (q *ackQueue) end(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.ready)
}

// abandon releases whoever waits for room.
func (q *ackQueue) abandon() {
	q.mu.Lock()
	q.gone = true
	q.mu.Unlock()
	signal(q.room)
}

// wait appends the settled acks at the head to dst, at least one unless it also returns why there are no more.
func (q *ackQueue) wait(dst []ack) ([]ack, error) {
	for {
		q.mu.Lock()
		n := 0
		var failed error
		for n < len(q.acks) && q.acks[n].settled && failed == nil {
			if failed = q.acks[n].err; failed == nil {
				dst = append(dst, q.acks[n].ack)
				n++
			}
		}
		q.acks = q.acks[:copy(q.acks, q.acks[n:])]
		q.first += uint64(n)
		end := q.err
		if len(q.acks) > 0 {
			end = nil
		}
		if failed != nil {
			end = failed
		}
		q.mu.Unlock()
		if n > 0 {
			signal(q.room)
		}
		if n > 0 || end != nil {
			return dst, end
		}
		<-q.ready
	}
}
