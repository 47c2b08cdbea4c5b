package server

import "sync"

// maxPending is how many batches of a session may wait for their ack, and maxPendingBytes how many metered bytes. At
// these numbers the server reads no more inputs of the session; otherwise a client that sends faster than the disk
// writes could fill the memory of the server. The client notices by the flow control of HTTP/2: its window is not opened
// again. Both are far above one commit, because smaller numbers would make the disk wait for the network.
const (
	maxPending      = 4096
	maxPendingBytes = 64 << 20
)

// An ackQueue holds the acks of one append session, in the order of the inputs. The reader of the session reserves a
// slot for each input before it gives the input to the stream. The store decides slots from its own goroutine. The
// writer of the session takes decided slots from the head of the queue. A slot that is decided early waits for the
// slots before it, because S2 promises acks in the order of the inputs.
//
// Only three goroutines know a queue, and each does one thing: the reader of the session reserves, the committer
// decides, and the writer takes. So a single channel with one token is enough for each of the two that wait. mu is held
// for a few instructions only, because the committer takes it for every batch.
type ackQueue struct {
	mu          sync.Mutex
	first       uint64 // the number of the slot acks[0]
	acks        []pendingAck
	bytes       int           // of the batches of acks
	err         error         // why no more slots will be reserved; io.EOF: the client has ended the session
	writerEnded bool          // nobody takes acks any more
	ready       chan struct{} // holds one token when wait may find something new
	room        chan struct{} // holds one token when reserve may find room
}

type pendingAck struct {
	size    int // of the batch
	ack     ack
	err     error
	decided bool
}

func newAckQueue() *ackQueue {
	return &ackQueue{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// signal puts a token into c, unless c already holds a token. A single token is enough, because the receiver looks at
// the state again.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reserve takes the next slot, for a batch of a size. While the queue is full, reserve waits. An empty queue takes a
// batch of any size; otherwise a batch above the bound would wait for ever. ok = false: the writer has ended.
func (q *ackQueue) reserve(size int) (slot uint64, ok bool) {
	for {
		q.mu.Lock()
		switch {
		case q.writerEnded:
			q.mu.Unlock()
			return 0, false
		case len(q.acks) == 0 || len(q.acks) < maxPending && q.bytes+size <= maxPendingBytes:
			q.acks = append(q.acks, pendingAck{size: size})
			q.bytes += size
			slot = q.first + uint64(len(q.acks)) - 1
			q.mu.Unlock()
			return slot, true
		}
		q.mu.Unlock()
		// A token may be old, and the queue full again. The loop looks again, and waits for the next token.
		<-q.room
	}
}

// unreserve gives back the slot that was reserved last, because the stream has refused its input. An undecided slot in
// the queue would make wait wait for ever.
func (q *ackQueue) unreserve() {
	q.mu.Lock()
	defer q.mu.Unlock()
	// Only the reader of the session reserves, and it has reserved nothing since, so the last slot is the one to give
	// back.
	last := len(q.acks) - 1
	q.bytes -= q.acks[last].size
	q.acks = q.acks[:last]
}

// decide stores the ack or the error of the input of a slot. decide does not wait, because the goroutine of the store
// calls decide and has other batches to finish.
func (q *ackQueue) decide(slot uint64, a ack, err error) {
	q.mu.Lock()
	// Only decided slots leave the queue at the head, so the index is within the queue, also after the writer has ended.
	p := &q.acks[slot-q.first]
	p.ack, p.err, p.decided = a, err, true
	// The writer can go on only if the slot at the head is decided. Waking the writer for another slot would be useless
	// work.
	head := slot == q.first
	q.mu.Unlock()
	if head {
		signal(q.ready)
	}
}

// end records the end of the reservations, and the reason. io.EOF: the client has ended the session.
func (q *ackQueue) end(err error) {
	q.mu.Lock()
	// takeInputs calls end once, behind its last reserve. So behind err no slot can follow.
	q.err = err
	q.mu.Unlock()
	signal(q.ready)
}

// abandon records the end of the writer. It wakes a reserve waiting for room; otherwise reserve would wait for ever.
func (q *ackQueue) abandon() {
	q.mu.Lock()
	q.writerEnded = true
	q.mu.Unlock()
	signal(q.room)
}

// wait waits until the slot at the head is decided, and appends the acks of all decided slots at the head to dst. When
// no more acks will follow, wait also returns the reason. A failed slot ends the session: the slots behind it stay in
// the queue and are never acknowledged.
func (q *ackQueue) wait(dst []ack) ([]ack, error) {
	for {
		q.mu.Lock()
		n := 0
		var failed error
		for n < len(q.acks) && q.acks[n].decided && failed == nil {
			if failed = q.acks[n].err; failed == nil {
				dst = append(dst, q.acks[n].ack)
				q.bytes -= q.acks[n].size
				n++
			}
		}
		// The rest moves to the front of the array. A slice that only moved forward would make append allocate a new
		// array again and again.
		q.acks = q.acks[:copy(q.acks, q.acks[n:])]
		q.first += uint64(n)
		// The reason comes together with the last acks, and the writer can send both in one write.
		end := q.err
		// Undecided slots are left: their acks must be written before the session ends.
		if len(q.acks) > 0 {
			end = nil
		}
		// The failed slot comes before everything that is left in the queue, so its error is the reason.
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
