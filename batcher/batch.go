package batcher

import "time"

// A Batch is what Take returns: elements in the order in which they were put.
type Batch[E any] struct {
	Items   []E // lent until Release
	Metered int // sum of what was given to Put as metered

	memory *[]E // what Items began in, for the next batch
	cost   int  // reserved of the budget

	// Tag belongs to the caller: what it keeps beside the elements, such as the memory they lie in. A keep function sets
	// it with the first element.
	Tag any

	Cause Cause     // why it ended; set by Take
	First time.Time // when its first element was put

	wanted bool
	next   *Batch[E] // behind it in the queue of ended batches
}

// queue is the batches that have ended and were not taken.
type queue[E any] struct{ head, tail *Batch[E] }

func (q *queue[E]) push(b *Batch[E]) {
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

func (q *queue[E]) pop() *Batch[E] {
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
