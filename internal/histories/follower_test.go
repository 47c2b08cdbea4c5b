package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
)

// A mode is a way of consuming.
type mode int

const (
	messages mode = iota
	transactions
	batches
	manual
	manualBatches
	pipe
	forgetful // without a checkpoint
	modes
)

// A follower is a consumer over all its restarts: one key in the checkpoint store.
type follower struct {
	h     *history
	key   string
	mode  mode
	posts bool // poison becomes a dead letter
	dice  *rand.Rand
	guard *guard
	out   *memory.Stream // of a Pipe
	sent  *takings       // to out

	mu        sync.Mutex
	present   *incarnation
	delivered map[int]int
	letters   map[int]bool // what was lettered, or skipped without a letter
}

func newFollower(h *history, number int) *follower {
	key := fmt.Sprint("history/consumer ", number)
	d := newDice(h.seed, key)
	return &follower{
		h: h, key: key, mode: mode(d.IntN(int(modes))), posts: chance(d, 0.7), dice: d, guard: newGuard(h),
		out: memory.New(), sent: newTakings(), delivered: make(map[int]int), letters: make(map[int]bool),
	}
}

// follow runs loops until ctx is over or the world was pulled.
func (f *follower) follow(ctx context.Context) {
	var replaced sync.WaitGroup // loops that go on beside the one that took their key over
	defer replaced.Wait()
	var in *incarnation
	for ctx.Err() == nil && !f.h.pulled.Load() {
		if in == nil || in.dead() || chance(f.dice, 0.5) {
			if in != nil {
				in.retire()
			}
			in = f.incarnate(false)
		}
		if in.mayBeReplaced() && chance(f.dice, 0.15) {
			over := make(chan struct{})
			old := in
			select {
			case <-old.moved: // in a loop before
			default:
			}
			replaced.Go(func() {
				defer close(over)
				old.loop(ctx)
				old.retire()
			})
			select {
			case <-old.moved:
			case <-over:
			}
			old.supersede()
			in = nil
			continue
		}
		in.loop(ctx)
	}
	if in != nil {
		in.retire()
	}
}

// catchUp runs loops until one has seen the tail.
func (f *follower) catchUp() {
	in := f.incarnate(true)
	for n := 0; !in.loop(context.Background()); n++ {
		if n > 1000 {
			f.h.errorf("%s does not come to the end", f.key)
			break
		}
		if in.dead() || chance(f.dice, 0.3) {
			in.retire()
			in = f.incarnate(true)
		}
	}
	in.retire()
}

// interrupt ends the present loop, or kills the whole consumer.
func (f *follower) interrupt(kill bool) {
	f.mu.Lock()
	in := f.present
	f.mu.Unlock()
	if in != nil {
		in.interrupt(kill)
	}
}

// lose drops the present reader.
func (f *follower) lose() {
	f.mu.Lock()
	in := f.present
	f.mu.Unlock()
	if in != nil {
		in.source.Break(nil)
	}
}

func (f *follower) saw(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delivered[i]++
}

func (f *follower) lettered(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letters[i] = true
}

// filtered says what a Pipe passes over.
func filtered(i int) bool { return i%7 == 3 }

// audit compares what was seen with what is stored.
func (f *follower) audit(recs []backend.Record) {
	for i := range recs {
		v := mustParse(&recs[i])
		dead := v.kind == poison || f.mode == pipe && v.kind == rejected && !filtered(i)
		if f.letters[i] != dead {
			f.h.errorf("%s, mode %d: record %d of kind %c is a dead letter: %v", f.key, f.mode, i, v.kind, f.letters[i])
		}
		if n := f.delivered[i]; (n > 0) != (v.kind != poison) {
			f.h.errorf("%s, mode %d: record %d of kind %c was delivered %d times", f.key, f.mode, i, v.kind, n)
		}
	}
	for i := range f.letters {
		if i >= len(recs) {
			f.h.errorf("%s: a dead letter of record %d, which is not there", f.key, i)
		}
	}
	if f.mode == pipe {
		f.auditOut(recs)
	}
	for _, n := range f.delivered {
		f.h.counts.delivered.Add(int64(n))
		f.h.counts.repeated.Add(int64(n - 1))
	}
	f.h.counts.letters.Add(int64(len(f.letters)))
}

// auditOut checks that a Pipe has stored all that it should have, in order.
func (f *follower) auditOut(recs []backend.Record) {
	copies := make(map[string]int)
	var firsts []string
	for _, r := range f.out.Records() {
		text := string(r.Value)
		if copies[text]++; copies[text] == 1 {
			firsts = append(firsts, text)
		}
		if most := f.sent.most[text]; copies[text] > most {
			f.h.errorf("%s: %s is in the destination %d times, and sessions may have stored it %d times", f.key, text, copies[text], most)
		}
	}
	var want []string
	for i := range recs {
		if v := mustParse(&recs[i]); v.kind != poison && v.kind != rejected && !filtered(i) {
			want = append(want, onward(i, v))
		}
	}
	if fmt.Sprint(firsts) != fmt.Sprint(want) {
		f.h.errorf("%s: the destination holds %v, want %v", f.key, firsts, want)
	}
}

// onward is what a Pipe makes of a record.
func onward(i int, v value) string { return fmt.Sprintf("%d %c %s", i, v.kind, v.id()) }
