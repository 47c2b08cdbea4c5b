package consumer

// A fifo is a queue. Its memory follows the largest number of elements that waited at once, however many have passed:
// the room of elements that were taken is used again.
type fifo[E any] struct {
	all  []E // taken up to head, then waiting
	head int
}

// waiting returns the elements that wait, the next one first. The slice is valid until the next call of a method.
func (q *fifo[E]) waiting() []E { return q.all[q.head:] }

func (q *fifo[E]) len() int { return len(q.all) - q.head }

// push adds an element behind all others.
func (q *fifo[E]) push(e E) {
	if len(q.all) == cap(q.all) && q.head >= len(q.all)/2 {
		// Use the room at the front instead of growing. As many elements were taken as are moved, so an element costs
		// one move on average.
		n := copy(q.all, q.all[q.head:])
		clear(q.all[n:])
		q.all, q.head = q.all[:n], 0
	}
	q.all = append(q.all, e)
}

// pop takes the next n elements. The elements are cleared, or the queue would pin what is done.
func (q *fifo[E]) pop(n int) {
	clear(q.all[q.head : q.head+n])
	if q.head += n; q.head == len(q.all) {
		q.all, q.head = q.all[:0], 0
	}
}

// unpop puts elements before all others.
func (q *fifo[E]) unpop(es []E) {
	if q.head < len(es) {
		q.all = append(append(make([]E, 0, len(es)+q.len()), es...), q.waiting()...)
		q.head = 0
		return
	}
	q.head -= len(es)
	copy(q.all[q.head:], es)
}
