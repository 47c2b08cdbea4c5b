package batcher

// A waiter is one Put that is blocked for room. Waiters are served in order of arrival, so that a large element is not
// starved by small ones, and are kept for reuse by their batcher: a caller who is blocked on every element must not
// allocate a channel for each. (A shared sync.Pool would carry channels from one synctest bubble into another.)
type waiter struct {
	cost  int
	state waitState
	ready chan struct{} // one token when state has become granted or refused

	next, prev *waiter // in the queue; next alone among the free
}

type waitState uint8

const (
	waiting waitState = iota
	granted           // its cost is reserved
	refused           // the batcher was closed
)

type waiters struct {
	live       int // in the queue
	head, tail *waiter
	free       *waiter
}

func (q *waiters) park(cost int) *waiter {
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

// remove takes a waiter out of the queue, wherever it stands: callers with short deadlines, behind one who waits for much
// room, would otherwise add up.
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

// serve settles waiters from the head for as long as settle says so.
func (q *waiters) serve(settle func(w *waiter) bool) {
	for w := q.head; w != nil && settle(w); w = q.head {
		q.remove(w)
		w.ready <- struct{}{}
	}
}

// recycle keeps a waiter that is out of the queue.
func (q *waiters) recycle(w *waiter) {
	select {
	case <-w.ready:
	default:
	}
	w.next, q.free = q.free, w
}
