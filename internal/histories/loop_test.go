package histories

import (
	"context"
	"errors"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A way is how the body of a loop ends it.
type way int

const (
	leave     way = iota
	ackLeave      // acknowledge the record in hand and leave
	raise         // a panic
	killLeave     // killed in the body
	killNext      // killed in the body, which goes on
	cancelCtx     // ctx ends in the body, which goes on
	ways
)

// A stay is what one loop still has to do: after so many records it ends.
type stay struct {
	records int // negative: no end
	way     way
}

func (in *incarnation) stay() *stay {
	s := &stay{records: -1}
	if chance(in.dice, 0.5) {
		s.records, s.way = in.dice.IntN(30), way(in.dice.IntN(int(ways)))
	}
	return s
}

// loop runs one loop and reports whether it came to the end by itself.
func (in *incarnation) loop(ctx context.Context) (ended bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in.mu.Lock()
	in.cancel = cancel
	in.mu.Unlock()
	if in.f.mode == forgetful {
		start := 0
		if p := in.current(); p != nil {
			start = p.undone() // it remembers
		}
		in.begin(start, nil, 0)
	}
	in.f.h.counts.loops.Add(1)
	left, err := in.run(ctx)
	if err != nil && !in.expected(ctx, err) {
		in.f.h.errorf("%s, mode %d: the loop ended with %v", in.f.key, in.f.mode, err)
	}
	return !left && err == nil
}

// expected reports whether err comes of what was done to the loop.
func (in *incarnation) expected(ctx context.Context, err error) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()), in.f.h.pulled.Load(), in.killed,
		errors.Is(err, errLetters), errors.Is(err, errBody), errors.Is(err, checkpointtest.ErrInjected):
		return true
	case in.replaced && errors.Is(err, backend.ErrFenced):
		return true
	}
	return in.f.mode == pipe && errors.Is(err, backendtest.ErrInjected) // the destination stopped
}

func (in *incarnation) run(ctx context.Context) (left bool, err error) {
	defer func() {
		if v := recover(); v == errBody {
			left = true
		} else if v != nil {
			panic(v)
		}
	}()
	switch in.f.mode {
	case batches:
		return in.batches(ctx)
	case manual, manualBatches:
		return in.manual(ctx)
	case pipe:
		return in.pipe(ctx)
	}
	return in.messages(ctx)
}

// arrive notes a message and the pass it belongs to.
func (in *incarnation) arrive(m consumer.Message[value]) (*pass, int) {
	in.f.h.beat()
	select {
	case in.moved <- struct{}{}:
	default:
	}
	p := in.current()
	return p, p.arrive(m)
}

// over reports whether the body must leave. finish marks the record in hand done.
func (in *incarnation) over(s *stay, finish func()) bool {
	if s.records < 0 {
		return false
	}
	if s.records--; s.records >= 0 {
		return false
	}
	switch s.way {
	case ackLeave:
		finish()
		return true
	case raise:
		panic(errBody)
	case killLeave:
		in.kill()
		return true
	case killNext:
		in.interrupt(true)
		return false
	case cancelCtx:
		in.interrupt(false)
		return false
	}
	return true
}

// commit calls Commit now and then.
func (in *incarnation) commit(ctx context.Context) {
	if in.f.mode == forgetful || !chance(in.dice, 0.05) {
		return
	}
	if err := in.c.Commit(ctx); err != nil && !in.expected(ctx, err) {
		in.f.h.errorf("%s: Commit: %v", in.f.key, err)
	}
}

func (in *incarnation) messages(ctx context.Context) (left bool, err error) {
	s := in.stay()
	for m, err := range in.c.Messages(ctx) {
		if err != nil {
			return false, err
		}
		p, i := in.arrive(m)
		if in.over(s, func() { p.finish(i); m.Ack() }) {
			return true, nil
		}
		if in.f.mode == transactions && !in.transact(ctx, p, i, m) {
			return true, nil
		}
		in.commit(ctx)
		p.finish(i)
	}
	return false, nil
}

// transact stores the place of a record, as a transaction does that holds its effect. Some transactions roll back: the
// place was asked for and is not stored.
func (in *incarnation) transact(ctx context.Context, p *pass, i int, m consumer.Message[value]) bool {
	if chance(in.dice, 0.5) {
		return true
	}
	cp := m.Checkpoint()
	if chance(in.dice, 0.3) || in.dead() {
		return true
	}
	p.finish(i)
	err := in.f.guard.Save(context.WithoutCancel(ctx), in.f.key, cp)
	if err != nil && !in.expected(ctx, err) {
		in.f.h.errorf("%s: save the place of a record: %v", in.f.key, err)
	}
	return err == nil && !chance(in.dice, 0.1)
}

func (in *incarnation) batches(ctx context.Context) (left bool, err error) {
	s := in.stay()
	for ms, err := range in.c.Batches(ctx) {
		if err != nil {
			return false, err
		}
		var p *pass
		var at []int
		for _, m := range ms {
			pass, i := in.arrive(m)
			p, at = pass, append(at, i)
		}
		finish := func(n int) {
			for _, i := range at[:n] {
				p.finish(i)
			}
		}
		part := in.dice.IntN(len(ms)) // what it acknowledges when it leaves
		if in.over(s, func() { finish(part + 1); ms[part].Ack() }) {
			return true, nil
		}
		in.commit(ctx)
		finish(len(ms))
	}
	return false, nil
}

// manual hands every message to another goroutine, which acknowledges some of them out of order, and some after the loop.
func (in *incarnation) manual(ctx context.Context) (left bool, err error) {
	hand, wait := in.acker()
	defer wait()
	s := in.stay()
	if in.f.mode == manualBatches {
		for ms, err := range in.c.Batches(ctx) {
			if err != nil {
				return false, err
			}
			for _, m := range ms {
				p, i := in.arrive(m)
				hand(func() { p.finish(i); m.Ack() })
			}
			if in.commit(ctx); in.over(s, func() {}) {
				return true, nil
			}
		}
		return false, nil
	}
	for m, err := range in.c.Messages(ctx) {
		if err != nil {
			return false, err
		}
		p, i := in.arrive(m)
		hand(func() { p.finish(i); m.Ack() })
		if in.commit(ctx); in.over(s, func() {}) {
			return true, nil
		}
	}
	return false, nil
}

// acker calls what it is handed, in any order. It keeps some back as long as more comes.
func (in *incarnation) acker() (hand func(ack func()), wait func()) {
	acks := make(chan func(), 64)
	d := newDice(in.dice.Uint64(), "acker")
	var done sync.WaitGroup
	done.Go(func() {
		var kept []func()
		for ack := range acks {
			kept = append(kept, ack)
			for most := d.IntN(8); len(kept) > most || len(acks) == 0 && len(kept) > 0; {
				i := d.IntN(len(kept))
				kept[i]()
				kept = append(kept[:i], kept[i+1:]...)
			}
		}
	})
	return func(ack func()) { acks <- ack }, func() { close(acks); done.Wait() }
}

// pipe sends onward what is not filtered.
func (in *incarnation) pipe(ctx context.Context) (left bool, err error) {
	p, err := in.open(ctx)
	if err != nil {
		return false, errBody // the destination cannot be opened now
	}
	defer func() {
		if chance(in.dice, 0.5) {
			p.Close()
		} else {
			p.Shutdown(canceled)
		}
		in.f.h.counts.resends.Add(int64(p.Stats().Resent))
	}()
	s := in.stay()
	err = in.c.Pipe(ctx, func(ctx context.Context, m consumer.Message[value]) (producer.Receipt, error) {
		pass, i := in.arrive(m)
		if in.over(s, func() {}) {
			return producer.Receipt{}, errBody
		}
		if filtered(i) {
			pass.finish(i)
			return producer.Skip, nil
		}
		r, err := p.Enqueue(ctx, onward(i, m.Value))
		if err == nil {
			pass.owe(i, r)
		}
		return r, err
	})
	return false, err
}
