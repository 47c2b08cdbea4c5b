package consumer

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

// The tracker against a model that keeps one flag a record: spans of random sizes, with and without filtered records
// behind them, finished in random order.
func TestTrackerFollowsTheContiguousDoneRecords(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := newBudget(1<<30, func() {})
		tr := newTracker("start", nil, b)
		var (
			done  []bool           // by number
			after []backend.Offset // where to go on behind each record
			order []uint64
			at    = 0
		)
		place := func() backend.Offset { return backend.Offset(strconv.Itoa(at)) }
		want := func() (backend.Offset, uint64) {
			pos, low := backend.Offset("start"), 0
			for ; low < len(done) && done[low]; low++ {
				pos = after[low]
			}
			return pos, uint64(low)
		}
		for range 40 {
			n := 1 + rng.IntN(chunkRecords)
			s := span{first: uint64(len(done)), bytes: n}
			for range n {
				at++
				s.recs = append(s.recs, backend.Record{Next: place()})
				order = append(order, uint64(len(done)))
				done, after = append(done, false), append(after, place())
			}
			at += rng.IntN(2) // filtered in the same batch
			s.next = place()
			after[len(after)-1] = s.next
			b.charge(n)
			tr.push(s)
			if rng.IntN(3) == 0 { // an empty batch behind it
				at += 5
				tr.extend(place())
				after[len(after)-1] = place()
			}
			// Finish some of what is open, mostly old ones.
			for k := rng.IntN(2 * n); k > 0 && len(order) > 0; k-- {
				i := rng.IntN(min(len(order), 1+rng.IntN(300)))
				seq := order[i]
				order = append(order[:i], order[i+1:]...)
				done[seq] = true
				tr.markDone(seq)
				if rng.IntN(10) == 0 {
					tr.markDone(seq) // twice is once
				}
			}
			pos, low := tr.position()
			if wantPos, wantLow := want(); pos != wantPos || low != wantLow {
				t.Fatalf("seed %d: at %q and %d, want %q and %d", seed, pos, low, wantPos, wantLow)
			}
			at, text, low := tr.progress()
			runs, err := ahead.Decode(at, text)
			if err != nil {
				t.Fatal(err)
			}
			beyond := make([]bool, len(done))
			for _, r := range runs {
				for seq := r.From; seq < r.To; seq++ {
					beyond[low+seq] = true
				}
			}
			above := 0
			for _, d := range done[low:] {
				if d {
					above++
				}
			}
			if n := tr.above.Load(); int(n) != above {
				t.Fatalf("seed %d: %d records above the low-water mark are done, want %d", seed, n, above)
			}
			if !slices.Equal(beyond[low:], done[low:]) || len(runs) != tr.runs() {
				t.Fatalf("seed %d: the done records behind %q come back as %v", seed, at, runs)
			}
		}
		for _, seq := range order {
			tr.markDone(seq)
		}
		if pos, low := tr.position(); pos != place() || low != uint64(len(done)) {
			t.Errorf("seed %d: at %q and %d with all %d done", seed, pos, low, len(done))
		}
		if used := b.used.Load(); used != 0 || len(tr.spans) != 0 {
			t.Errorf("seed %d: %d bytes and %d spans are held with all done", seed, used, len(tr.spans))
		}
	}
}

func TestTrackerInOrder(t *testing.T) {
	b := newBudget(1<<30, func() {})
	tr := newTracker("start", nil, b)
	at := func(want backend.Offset) {
		t.Helper()
		if got, _ := tr.position(); got != want {
			t.Errorf("at %q, want %q", got, want)
		}
	}
	tr.extend("2")
	at("2")
	tr.push(span{first: 0, recs: []backend.Record{{Next: "3"}, {Next: "4"}}, next: "6", bytes: 2})
	b.charge(2)
	at("2")
	tr.doneBelow(1)
	at("3")
	tr.extend("9")
	at("3")
	tr.raiseDoneBelow(1)
	tr.raiseDoneBelow(0) // late
	at("3")
	tr.doneBelow(2)
	if b.used.Load() != 0 {
		t.Error("the span is done and not freed")
	}
	at("9")
	tr.extend("11")
	at("11")
}
