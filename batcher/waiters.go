package batcher

// A waiter is one Put that is blocked for room. Waiters are served in order of arrival, so that a large element is not
// starved by small ones, and are kept for reuse by their batcher: a caller who is blocked on every element must not
// allocate a channel for each. (A shared sync.Pool would carry channels from one synctest bubble into another.)
type waiter struct {
	cost  int
	state waitState
	ready chan struct{} // one token when state has become granted or refused
	next  *waiter
}

type waitState uint8

const (
	waiting waitState = iota
	granted           // its cost is reserved
	refused           // the batcher was closed
	gone              // its caller left; it is dropped when it reaches the head
)

type waiters struct {
	live       int // waiting ones in the queue
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
	w.cost, w.state, w.next = cost, waiting, nil
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.live++
	return w
}

// leave marks a waiter whose caller gave up.
func (q *waiters) leave(w *waiter) {
	w.state = gone
	q.live--
}

// serve settles waiters from the head for as long as settle says so.
func (q *waiters) serve(settle func(w *waiter) bool) {
	for w := q.head; w != nil; w = q.head {
		if w.state == waiting {
			if !settle(w) {
				return
			}
			q.live--
			w.ready <- struct{}{}
		} else {
			defer q.recycle(w) // its caller has left already
		}
		q.head = w.next
		if q.head == nil {
			q.tail = nil
		}
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
