package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// An entry is a record on its way through the handlers: the record at index at of ch.
type entry[T any] struct {
	ch       *chunk[T]
	at       int32
	attempts int32 // that failed
	alone    bool  // after its batch has failed: in no batch with others
}

func (e *entry[T]) seq() uint64             { return e.ch.first + uint64(e.at) }
func (e *entry[T]) record() *backend.Record { return &e.ch.recs[e.at] }

func (e *entry[T]) message(r *run) Message[T] {
	return Message[T]{Record: *e.record(), Value: e.ch.values[e.at], run: r, seq: e.seq()}
}

// A task is what a handler is called with: a record or, in ProcessBatches, several records.
type task[T any] struct {
	entry[T]
	// more is how many records directly behind entry are tasks of their own, too: of records without a key, one task
	// stands for a whole chunk. A task for each record would cost a copy a record, most of the cost of Process.
	more int32
	// taken is how many of these records workers have taken. Workers share the records through taken: each takes the next record
	// without the lock. nil: one worker takes all.
	taken *atomic.Int32
	first int32      // the first record that this worker has taken: how many records behind entry
	gaps  int32      // how many records of rest do not follow directly the record before them; see gate
	rest  []entry[T] // of a batch, in the order of the stream
	lane  *lane[T]   // nil: the record has no key
	fault error      // why the record is given up without an attempt
}

// next takes the record behind k, or the next that no worker has taken. It returns how many records behind entry the record is: more
// than t.more if no record is left.
func (t *task[T]) next(k int32) int32 {
	if t.taken == nil {
		return k + 1
	}
	return t.taken.Add(1) - 1
}

// A lane holds the records of one key that wait for the record before them. A lane exists while a record of its key is
// being handled or waits for another attempt.
type lane[T any] struct {
	key     string
	waiting fifo[entry[T]]
}

// enterLocked puts a record into the lane of its key.
func (w *workers[T]) enterLocked(e entry[T], key string) {
	l := w.lanes[key]
	if l == nil {
		if n := len(w.spare); n > 0 {
			l, w.spare = w.spare[n-1], w.spare[:n-1]
		} else {
			l = new(lane[T])
		}
		l.key = key
		w.lanes[key] = l
		w.fresh = append(w.fresh, l)
	}
	l.waiting.push(e)
}

// nextLocked takes the next task of a lane in which records wait.
func (w *workers[T]) nextLocked(l *lane[T]) task[T] {
	waiting := l.waiting.waiting()
	t, n := task[T]{entry: waiting[0], lane: l}, 1
	if w.work.batch != nil && !t.alone {
		most := w.loop.c.cfg.batchRecords
		for ; n < len(waiting) && n < most && !waiting[n].alone; n++ {
			if waiting[n].seq() != waiting[n-1].seq()+1 {
				if t.gaps == w.mostGaps {
					break
				}
				t.gaps++
			}
			t.rest = append(t.rest, waiting[n])
		}
	}
	l.waiting.pop(n)
	return t
}

// leave lets the next task of the lane begin.
func (w *workers[T]) leave(l *lane[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.waiting.len() == 0 {
		delete(w.lanes, l.key)
		w.spare = append(w.spare, l)
		return
	}
	w.ready.push(w.nextLocked(l))
	w.wakeLocked(1)
}
