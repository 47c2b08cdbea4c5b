package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A history is one run. It has several lives: at the end of each, everything but the world ends.
type history struct {
	t      testing.TB
	seed   uint64
	dice   *rand.Rand
	counts *counts
	world  world
	stream backend.Stream
	store  checkpoint.Store

	p         float64 // that a call fails
	refuses   bool    // there are unwanted records
	losesAcks bool
	lull      time.Duration // the longest pause between two records
	down      atomic.Int64  // openings that an outage lets fail
	pulled    atomic.Bool   // the world was closed while all were at work
	beats     chan struct{}

	ledger    *ledger
	takings   *takings
	slots     []*slot
	senders   []*sender
	followers []*follower
}

func newHistory(t testing.TB, seed uint64, n *counts) *history {
	d := newDice(seed, "history")
	h := &history{
		t: t, seed: seed, dice: d, counts: n, p: pick(d, 0, 0.02, 0.1, 0.25),
		refuses: chance(d, 0.5), losesAcks: chance(d, 0.2),
		lull: pick(d, 20*time.Millisecond, 20*time.Millisecond, 3*time.Second), beats: make(chan struct{}, 1), takings: newTakings(),
	}
	h.ledger = newLedger(h)
	return h
}

func (h *history) errorf(format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("seed %d: "+format, append([]any{h.seed}, args...)...)
}

func (h *history) run() {
	watch := time.AfterFunc(h.patience(), func() { panic(fmt.Sprintf("seed %d: the history does not end", h.seed)) })
	defer watch.Stop()
	for i := range 1 + h.dice.IntN(3) {
		h.slots = append(h.slots, newSlot(h, i))
	}
	for i := range 1 + h.dice.IntN(5) {
		s := h.slots[i%len(h.slots)]
		h.senders = append(h.senders, newSender(h, s, i+1, i < len(h.slots)))
	}
	for _, s := range h.senders[min(len(h.slots), len(h.senders)):] { // which share the slots of the first
		h.senders[(s.number-1)%len(h.slots)].alone = false
	}
	for i := range 1 + h.dice.IntN(3) {
		h.followers = append(h.followers, newFollower(h, i))
	}
	lives := 1 + h.dice.IntN(3)
	for i := range lives {
		h.live(i == lives-1)
	}
	h.stream, h.store = h.world.open()
	recs := h.readAll(h.stream)
	h.catchUp()
	h.ledger.audit(recs, h.takings.most)
	for _, f := range h.followers {
		f.audit(recs)
	}
	h.world.close()
	h.counts.histories.Add(1)
}

// patience is far beyond what a history takes. In a bubble it costs nothing: time only passes there when nobody can go on.
func (h *history) patience() time.Duration {
	if h.world.pullable() {
		return 2 * time.Minute
	}
	return 24 * time.Hour
}

// live runs producers and consumers for a while.
func (h *history) live(last bool) {
	h.stream, h.store = h.world.open()
	h.pulled.Store(false)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, s := range h.slots {
		s.begin()
	}
	var reading, sending, chaos sync.WaitGroup
	for _, f := range h.followers {
		reading.Go(func() { f.follow(ctx) })
	}
	for _, s := range h.senders {
		ops := 3 + h.dice.IntN(15)
		sending.Go(func() { s.work(ctx, ops) })
	}
	trouble, calm := context.WithCancel(ctx)
	chaos.Go(func() { h.chaos(trouble, !last && h.world.pullable()) })
	sending.Wait()
	calm()
	chaos.Wait()
	if clean := last || chance(h.dice, 0.5); clean || !h.world.pullable() || chance(h.dice, 0.5) {
		for _, s := range h.slots {
			s.end(clean)
		}
		cancel()
	} else {
		h.pull()
	}
	for _, s := range h.slots {
		s.end(false)
	}
	cancel()
	reading.Wait()
	if !h.pulled.Load() {
		h.world.close()
	}
}

// pull closes the world while everybody is at work.
func (h *history) pull() {
	if !h.pulled.Swap(true) {
		h.world.close()
	}
}

// beat says that something has happened, which is when the next trouble may come: by the clock it would hit nothing.
func (h *history) beat() {
	select {
	case h.beats <- struct{}{}:
	default:
	}
}

// chaos makes trouble.
func (h *history) chaos(ctx context.Context, pull bool) {
	d := newDice(h.dice.Uint64(), "chaos")
	rate := pick(d, 0, 0.02, 0.1)
	for {
		select {
		case <-h.beats:
		case <-ctx.Done():
			return
		}
		if !chance(d, rate) {
			continue
		}
		h.counts.faults.Add(1)
		switch d.IntN(12) {
		case 0, 1:
			pick(d, h.slots...).lose()
		case 2, 3, 4:
			pick(d, h.slots...).crash(ctx)
		case 5, 6, 7, 8:
			pick(d, h.followers...).interrupt(chance(d, 0.6))
		case 9, 10:
			h.down.Store(int64(1 + d.IntN(12)))
			for _, s := range h.slots {
				s.lose()
			}
			for _, f := range h.followers {
				f.lose()
			}
		case 11:
			if pull {
				h.pull()
				return
			}
		}
	}
}

// pause lets others run; in a bubble it also takes time. After three seconds without a record, consumers wait without a goroutine.
func (h *history) pause(d *rand.Rand) {
	if h.world.pullable() {
		runtime.Gosched()
		return
	}
	time.Sleep(pick(d, 0, time.Millisecond, h.lull))
}

// catchUp lets every consumer come to the end.
func (h *history) catchUp() {
	h.pulled.Store(false)
	h.down.Store(0)
	var all sync.WaitGroup
	for _, f := range h.followers {
		all.Go(f.catchUp)
	}
	all.Wait()
}

// readAll returns what is stored.
func (h *history) readAll(src backend.Source) (recs []backend.Record) {
	r, err := src.OpenReader(context.Background(), backend.Earliest)
	if err != nil {
		h.t.Fatalf("seed %d: %v", h.seed, err)
	}
	defer r.Close()
	for {
		b, err := r.Read(context.Background())
		if err != nil {
			h.t.Fatalf("seed %d: %v", h.seed, err)
		}
		if recs = append(recs, b.Records...); b.CaughtUp {
			return recs
		}
	}
}
