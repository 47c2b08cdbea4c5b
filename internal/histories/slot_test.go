package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// A slot holds one producer after another: when one crashes or stops, the next takes its place.
type slot struct {
	h    *history
	name string

	turn chan struct{} // a token and not a lock: in a bubble no time passes while somebody waits for a lock
	dice *rand.Rand    // from here on with the token
	sink *faulty
	once bool // AtMostOnce
	p    *producer.Producer[value]
	left []backend.Record // to be offered to the next producer
	made int
}

func newSlot(h *history, number int) *slot {
	name := fmt.Sprintf("producer %d", number)
	d := newDice(h.seed, name)
	return &slot{h: h, name: name, turn: make(chan struct{}, 1), dice: d, once: chance(d, 0.15)}
}

// begin is called when the stream was opened.
func (s *slot) begin() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.sink = s.h.newSink(s.dice, s.once)
}

// producer returns the present producer, makes one where there is none, and nil when the life is over. old is one that its
// user has found stopped.
func (s *slot) producer(ctx context.Context, old *producer.Producer[value]) *producer.Producer[value] {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.p != nil && s.p == old {
		s.retire(func() { old.Shutdown(canceled) })
	}
	if s.p == nil {
		s.p = s.make(ctx)
	}
	return s.p
}

// make opens a producer, and offers what the one before left before anybody else may offer something. Some is left out, as
// by a process that was killed and forgot it.
func (s *slot) make(ctx context.Context) *producer.Producer[value] {
	opts := s.options()
	var p *producer.Producer[value]
	for p == nil {
		if ctx.Err() != nil || s.h.pulled.Load() {
			return nil
		}
		var err error
		if p, err = producer.New(ctx, s.sink.tap, values, opts...); err != nil {
			p = nil
		}
	}
	if s.made++; s.made > 1 {
		s.h.counts.producers.Add(1)
	}
	if chance(s.dice, 0.7) {
		for i := range s.left {
			r := s.left[i]
			receipt, err := p.EnqueueEncoded(ctx, r)
			if err != nil {
				break // it stopped again, or the life is over; the rest is forgotten
			}
			s.h.ledger.promise(idOf(&r), receipt, p)
		}
	}
	s.left = nil
	return p
}

func (s *slot) options() []producer.Option {
	d := s.dice
	opts := []producer.Option{
		producer.Backoff(s.h.backoff()), producer.AckTimeout(s.h.ackTimeout()),
		producer.Linger(pick(d, 0, time.Millisecond, 5*time.Millisecond)), producer.BatchRecords(pick(d, 1, 4, 30, 10_000)),
		producer.BufferBytes(pick(d, 8<<10, 32<<10, 1<<20)), producer.BatchBytes(pick(d, 3000, 1<<20)),
		producer.IdleTimeout(s.h.idleTimeout(d)), producer.Observe(s.h.counts.idleHook()),
	}
	if s.once {
		opts = append(opts, producer.AtMostOnce())
	}
	return opts
}

// retire ends the present producer by end and checks what it leaves.
func (s *slot) retire(end func()) {
	end()
	left := make(map[string]bool)
	s.left = nil
	for r, may := range s.p.Unacked() {
		if _, twice := left[idOf(&r)]; twice {
			s.h.errorf("Unacked yields record %s twice", idOf(&r))
		}
		left[idOf(&r)] = may
		s.left = append(s.left, r)
	}
	s.h.ledger.compare(s.p, left)
	s.h.counts.resends.Add(int64(s.p.Stats().Resent))
	s.p = nil
}

// crash abandons the producer.
func (s *slot) crash(ctx context.Context) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.p == nil {
		return
	}
	p := s.p
	s.retire(func() { p.Shutdown(canceled) })
	s.p = s.make(ctx)
}

// end is called at the end of a life.
func (s *slot) end(clean bool) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.p != nil {
		p := s.p
		s.retire(func() {
			if clean {
				p.Close()
			} else {
				p.Shutdown(canceled)
			}
		})
	}
	s.h.counts.faults.Add(int64(s.sink.injected()))
}

// canceled is the context of a crash: nothing is waited for.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// lose drops the connections there are.
func (s *slot) lose() {
	s.turn <- struct{}{}
	sink := s.sink
	<-s.turn
	sink.broken.Break(nil)
}
