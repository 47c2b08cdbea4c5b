package batcher

// A waiter is a call of Put that is blocked for room. Waiters are served in order of arrival; otherwise small elements would
// overtake a large element again and again. The batcher keeps waiters for reuse, because a caller who is blocked on every
// element must not allocate a channel for every element. A shared sync.Pool is no alternative: the pool would carry channels
// from one synctest bubble into another.
type waiter struct {
	cost  int // bytes of the budget that the call waits for
	state waitState
	ready chan struct{} // one token when state has become granted or refused

	next, prev *waiter // neighbours in the queue; a free waiter uses next only
}

type waitState uint8

const (
	waiting waitState = iota
	granted           // the cost is reserved in the budget
	refused           // Close was called
)

// waiters is the queue of the blocked calls. The lock of the batcher guards it.
type waiters struct {
	live       int // number of waiters in the queue
	head, tail *waiter
	free       *waiter // list of waiters for reuse
}

// add appends a waiter to the queue. The caller must unlock the batcher and wait for ready.
func (q *waiters) add(cost int) *waiter {
	w := q.free
	if w == nil {
		w = &waiter{ready: make(chan struct{}, 1)}
	} else {
		q.free = w.next
	}
	w.cost, w.state, w.next, w.prev = cost, waiting, nil, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.live++
	return w
}

// remove takes a waiter out of the queue, wherever the waiter stands. The queue is linked in both directions for remove:
// many callers with short deadlines may stand behind a caller who waits for much room, and would pile up in the queue if
// only the head could leave.
func (q *waiters) remove(w *waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
	q.live--
}

// serve calls decide for the waiters in order of arrival. decide sets the state of the waiter and returns true, or returns
// false to leave the waiter and everyone behind in the queue. A decided waiter leaves the queue and is woken.
func (q *waiters) serve(decide func(w *waiter) bool) {
	for w := q.head; w != nil && decide(w); w = q.head {
		q.remove(w)
		w.ready <- struct{}{}
	}
}

// recycle keeps a waiter for reuse. The waiter has left the queue. When the context of the caller ended at the same time as
// a grant, the token is still in ready; recycle removes the token, or the next user of the waiter would not wait.
func (q *waiters) recycle(w *waiter) {
	select {
	case <-w.ready:
	default:
	}
	w.next, q.free = q.free, w
}
