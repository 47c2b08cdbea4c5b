package batcher

import "time"

// A Batch is what Take returns: elements of type E in the order in which they were put, and a companion of type C.
type Batch[E, C any] struct {
	Items   []E // lent until Release
	Metered int // sum of what was given to Put as metered

	memory *[]E // what Items began in, for the next batch
	cost   int  // reserved of the budget

	// Companion is what the caller keeps beside the elements, such as the memory they lie in. The function given to [NewWith]
	// sets Companion with the first element. The batcher does not look at it.
	Companion C

	Cause Cause     // why it ended; set by Take
	First time.Time // when its first element was put

	wanted bool
	next   *Batch[E, C] // behind it in the queue of ended batches
}

// queue is the batches that have ended and were not taken.
type queue[E, C any] struct{ head, tail *Batch[E, C] }

func (q *queue[E, C]) push(b *Batch[E, C]) {
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

func (q *queue[E, C]) pop() *Batch[E, C] {
	b := q.head
	if b == nil {
		return nil
	}
	q.head, b.next = b.next, nil
	if q.head == nil {
		q.tail = nil
	}
	return b
}
