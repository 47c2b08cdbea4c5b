package histories

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/ahead"
	"github.com/headrace/headrace/producer"
)

var (
	errKilled  = errors.New("the consumer was killed")
	errLetters = errors.New("the dead letters cannot be stored")
	errBody    = errors.New("the body of the loop gave up")
)

// An incarnation is one Consumer of a follower, from New until it is dropped or killed. It is the checkpoint store and the
// letterbox of that consumer, and sees what it asks for.
type incarnation struct {
	f      *follower
	dice   *rand.Rand // of the loop's goroutine
	final  bool       // it reads up to the tail
	source *backendtest.FlakySource
	store  countedStore
	c      *consumer.Consumer[value]
	sink   *faulty       // of a Pipe
	moved  chan struct{} // one token: a record was delivered

	mu       sync.Mutex
	letters  *rand.Rand
	pass     *pass
	epochs   map[uint64]*pass
	killed   bool
	replaced bool
	cancel   context.CancelFunc
	onward   *producer.Producer[string]
}

func (f *follower) incarnate(final bool) *incarnation {
	h, d := f.h, newDice(f.dice.Uint64(), "incarnation")
	in := &incarnation{
		f: f, dice: d, final: final, source: h.newSource(d), moved: make(chan struct{}, 1),
		store:   countedStore{checkpointtest.NewFlaky(f.guard, h.storeFaults(d)...), h},
		letters: newDice(d.Uint64(), "letters"), epochs: make(map[uint64]*pass), cancel: func() {},
	}
	if f.mode == pipe {
		t := &tap{h: h, takings: f.sent, id: func(r *backend.Record) string { return string(r.Value) }}
		in.sink = h.flakySink(d, t, f.out, unforwarded, chance(d, 0.5))
	}
	var err error
	if in.c, err = consumer.New(in.source, values, in.options()...); err != nil {
		panic(err)
	}
	f.mu.Lock()
	f.present = in
	f.mu.Unlock()
	return in
}

// unforwarded is what the destination of a Pipe refuses.
func unforwarded(r *backend.Record) bool {
	var i int
	var k kind
	if _, err := fmt.Sscanf(string(r.Value), "%d %c", &i, &k); err != nil {
		panic(err)
	}
	return k == rejected
}

func (in *incarnation) options() []consumer.Option {
	d := in.dice
	opts := []consumer.Option{
		consumer.Backoff(in.f.h.backoff()), consumer.BufferBytes(pick(d, 1, 2000, 20_000, 1<<20)),
		consumer.Decoders(pick(d, 1, 1, 3)), consumer.BatchRecords(pick(d, 1, 3, 50)), consumer.BatchWait(pick(d, 0, time.Millisecond)),
		consumer.CheckpointEvery(pick(d, 0, 1, 5, 40), pick(d, 0, time.Millisecond, time.Second)),
	}
	if in.f.mode != forgetful {
		opts = append(opts, consumer.Checkpoint(in, in.f.key))
	}
	if in.f.mode == manual || in.f.mode == manualBatches {
		opts = append(opts, consumer.ManualAck())
	}
	if in.f.posts || in.f.mode == pipe {
		opts = append(opts, consumer.DeadLetters(in))
	} else {
		opts = append(opts, consumer.OnPoison(func(e *consumer.DecodeError) error { in.passOver(place(e.Offset)); return nil }))
	}
	if in.final {
		opts = append(opts, consumer.StopAtTail())
	}
	return opts
}

// mayBeReplaced: a newer consumer on the key may come while this one is at work. A Pipe's destination would then hold first
// copies in the order of both.
func (in *incarnation) mayBeReplaced() bool { return in.f.mode != pipe && in.f.mode != forgetful }

func (in *incarnation) supersede() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.replaced = true
}

func (in *incarnation) dead() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.killed
}

// kill makes sure that nothing is saved any more, and nothing sent onward.
func (in *incarnation) kill() {
	in.mu.Lock()
	in.killed = true
	p := in.onward
	in.mu.Unlock()
	if p != nil {
		p.Shutdown(canceled)
	}
}

func (in *incarnation) interrupt(kill bool) {
	if kill {
		in.kill()
	}
	in.mu.Lock()
	cancel := in.cancel
	in.mu.Unlock()
	cancel()
}

// retire counts what went wrong.
func (in *incarnation) retire() {
	n := 0
	for _, k := range in.source.Injected() {
		n += k
	}
	if in.sink != nil {
		n += in.sink.injected()
	}
	in.f.h.counts.faults.Add(int64(n))
}

// begin starts a pass at a place. The loop may leave out the records behind the place that the checkpoint lists as done: Save has
// checked them.
func (in *incarnation) begin(start int, listed []ahead.Run, epoch uint64) {
	p := newPass(in.f, start)
	for _, r := range listed {
		for i := r.From; i < r.To; i++ {
			p.skip(start + int(i))
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pass, in.epochs[epoch] = p, p
}

func (in *incarnation) current() *pass {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.pass
}

// Load implements checkpoint.Store.
func (in *incarnation) Load(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if in.dead() {
		return checkpoint.Checkpoint{}, errKilled
	}
	return in.store.Load(ctx, key)
}

// Claim implements checkpoint.Store. What it returns is where the loop must begin.
func (in *incarnation) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if in.dead() {
		return checkpoint.Checkpoint{}, errKilled
	}
	cp, err := in.store.Claim(ctx, key)
	if err != nil {
		return cp, err
	}
	start := 0
	if cp.Offset != "" {
		start = place(cp.Offset)
	}
	in.begin(start, in.listed(cp), cp.Epoch)
	return cp, nil
}

// listed returns the records behind the place that a checkpoint lists as done, counted from the place.
func (in *incarnation) listed(cp checkpoint.Checkpoint) []ahead.Run {
	runs, err := ahead.Decode(cp.Offset, cp.Ahead)
	if err != nil {
		in.f.h.errorf("%s, mode %d: the checkpoint at %q: %v", in.f.key, in.f.mode, cp.Offset, err)
	}
	return runs
}

// Save implements checkpoint.Store. All before the place must be done in the loop that claimed the epoch, and so must all that is
// listed as done behind the place.
func (in *incarnation) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	if in.dead() {
		return errKilled
	}
	in.mu.Lock()
	p := in.epochs[cp.Epoch]
	in.mu.Unlock()
	if p == nil {
		in.f.h.errorf("%s: a save under epoch %d, which was never claimed", key, cp.Epoch)
	} else if done := p.undone(); place(cp.Offset) > done {
		in.f.h.errorf("%s, mode %d: place %q was saved, and record %d is not done", key, in.f.mode, cp.Offset, done)
	} else {
		for _, r := range in.listed(cp) {
			if i := p.undoneIn(place(cp.Offset)+int(r.From), place(cp.Offset)+int(r.To)); i >= 0 {
				in.f.h.errorf("%s, mode %d: place %q lists record %d, which is not done", key, in.f.mode, cp.Offset, i)
			}
		}
	}
	return in.store.Save(ctx, key, cp)
}

// Send takes dead letters. It fails at random, before the letters are stored or after.
func (in *incarnation) Send(_ context.Context, letters ...consumer.DeadLetter) error {
	in.mu.Lock()
	p, fails, after := in.pass, chance(in.letters, in.f.h.p/3), chance(in.letters, 0.5)
	in.mu.Unlock()
	if fails && !after {
		return errLetters
	}
	for _, l := range letters {
		i := place(l.Offset)
		if !p.post(i) {
			in.f.h.errorf("%s: two dead letters of record %d in one loop", in.f.key, i)
		}
		if v, err := parse(l.Value); err != nil || l.Cause == "" || v.kind != poison && v.kind != rejected {
			in.f.h.errorf("%s: the dead letter of record %d is %+v", in.f.key, i, l)
		} else if v.kind == rejected {
			in.f.lettered(i)
			if !fails {
				p.finish(i)
			}
			continue
		}
		if in.f.lettered(i); !fails {
			p.skip(i)
		}
	}
	if fails {
		return errLetters
	}
	return nil
}

// passOver notes poison that becomes no letter.
func (in *incarnation) passOver(i int) {
	in.f.lettered(i)
	in.current().skip(i)
}

// open makes the producer of a Pipe.
func (in *incarnation) open(ctx context.Context) (*producer.Producer[string], error) {
	p, err := producer.New(ctx, in.sink.tap, codec.String(), producer.Backoff(in.f.h.backoff()),
		producer.AckTimeout(in.f.h.ackTimeout()), producer.BatchRecords(pick(in.dice, 1, 5, 100)),
		producer.IdleTimeout(in.f.h.idleTimeout(in.dice)), producer.Observe(in.f.h.counts.idleHook()))
	if err != nil {
		return nil, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.onward = p
	return p, nil
}
