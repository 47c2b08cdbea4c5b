package server

import "sync"

// maxPending is how many batches of a session wait for their ack before no more are read.
const maxPending = 4096

// An ackQueue holds the acks of one append session in the order of their inputs. The reader of the session reserves a slot for each
// input before it gives the input to the stream. The store decides slots, from its own goroutine. The writer of the session
// takes decided slots from the head. So a slot that is decided early waits for the slots in front of it.
type ackQueue struct {
	mu    sync.Mutex
	first uint64 // the slot of acks[0]
	acks  []pendingAck
	err   error         // why the session ends, behind the acks; io.EOF: the client has ended it
	gone  bool          // the writer has ended, so nobody takes acks any more
	ready chan struct{} // holds one token: wait may find something new
	room  chan struct{} // holds one token: reserve may find room
}

type pendingAck struct {
	ack     ack
	err     error
	decided bool
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

// reserve takes the next slot. It waits while maxPending slots are taken. It returns ok = false when the writer has ended.
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

// unreserve gives back the slot that was reserved last, because the stream has refused its input.
func (q *ackQueue) unreserve() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acks = q.acks[:len(q.acks)-1]
}

// decide says what became of the input of a slot. It does not wait.
func (q *ackQueue) decide(slot uint64, a ack, err error) {
	q.mu.Lock()
	q.acks[slot-q.first] = pendingAck{a, err, true}
	head := slot == q.first
	q.mu.Unlock()
	if head {
		signal(q.ready)
	}
}

// end says that no more slots are reserved, and why. io.EOF is the client's own end.
func (q *ackQueue) end(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.ready)
}

// abandon says that the writer has ended, and wakes a reserve that waits for room.
func (q *ackQueue) abandon() {
	q.mu.Lock()
	q.gone = true
	q.mu.Unlock()
	signal(q.room)
}

// wait appends the acks of the decided slots at the head to dst, and waits until there is at least one. When no more acks will
// follow, it also returns why. A failed slot ends the session: the slots behind it stay in the queue, and are never acknowledged.
func (q *ackQueue) wait(dst []ack) ([]ack, error) {
	for {
		q.mu.Lock()
		n := 0
		var failed error
		for n < len(q.acks) && q.acks[n].decided && failed == nil {
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
