package batcher

import "time"

// A Batch is the result of Take: elements of type E in the order of their Put, and a companion of type C.
type Batch[E, C any] struct {
	Items   []E // lent to the caller of Take until Recycle or Release
	Metered int // sum of the metered arguments of Put

	memory *[]E // the slice in which Items began, for a later batch; nil when Recycle has kept the slice
	count  int  // number of elements, once the batch has ended
	cost   int  // bytes of the budget reserved for the batch and its elements

	// Companion is for the caller, who keeps data beside the elements here, for example the memory in which the elements
	// lie. The function given to [NewWith] sets Companion with the first element. The batcher never reads Companion.
	Companion C

	Cause Cause     // why the batch ended; set before Take returns the batch
	First time.Time // time of the Put of the first element

	wanted bool         // Want was called for the batch
	next   *Batch[E, C] // the batch behind, in the queue of ended batches
}

// queue holds the batches that have ended and wait for Take, oldest first.
type queue[E, C any] struct{ head, tail *Batch[E, C] }

func (q *queue[E, C]) push(b *Batch[E, C]) {
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

// pop removes and returns the oldest batch, or nil.
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
