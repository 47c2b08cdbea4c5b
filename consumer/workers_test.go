package consumer

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
)

// Under a steady load, tasks are always ready. What was taken must not stay in memory.
func TestTasksThatWereTakenDoNotPileUp(t *testing.T) {
	track := newTracker("0", nil, newBudget(1<<30, func() {}))
	w := &workers[int]{
		cfg: processConfig{concurrency: 2}, started: 2, lanes: map[string]*lane[int]{},
		loop: &loop[int]{run: &run{track: track}}, gate: gate{track: track},
	}
	w.change.L = &w.mu
	const tasks = 100
	for round := range 100 {
		ch := &chunk[int]{first: uint64(round * tasks), recs: make([]backend.Record, tasks)}
		var batch []task[int]
		var keys []string
		for i := range tasks {
			batch = append(batch, task[int]{entry: entry[int]{ch: ch, at: int32(i)}})
			keys = append(keys, fmt.Sprint(round, i))
		}
		w.add(batch, keys)
		for range tasks - min(round, 1) {
			if w.ready.len() > 1 {
				w.take(nil)
				track.low.Add(1)
			}
		}
	}
	if cap(w.ready.all) > 10*tasks {
		t.Errorf("room for %d tasks, where up to %d waited", cap(w.ready.all), 2*tasks)
	}
}
