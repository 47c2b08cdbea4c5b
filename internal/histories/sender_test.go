package histories

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// A sender is one goroutine's way of using a producer, in every way that there is. Others may use the same producer.
type sender struct {
	h      *history
	slot   *slot
	number int
	alone  bool // nobody else flushes the producer
	n      int  // of its last value
	dice   *rand.Rand

	p     *producer.Producer[value] // the one used last
	since []promise                 // given by p since the last Flush
}

func newSender(h *history, s *slot, number int, alone bool) *sender {
	return &sender{h: h, slot: s, number: number, alone: alone, dice: newDice(h.seed, fmt.Sprint("sender ", number))}
}

// work does something with the producer ops times, or until the life is over.
func (s *sender) work(ctx context.Context, ops int) {
	for range ops {
		p := s.slot.producer(ctx, nil)
		if p == nil {
			return
		}
		if p != s.p {
			s.p, s.since = p, nil
		}
		var err error
		switch s.dice.IntN(12) {
		case 0, 1, 2:
			err = s.send(ctx)
		case 3, 4, 5, 6, 7:
			err = s.enqueue(ctx)
		case 8:
			err = s.record(ctx)
		case 9:
			err = s.flush(ctx)
		case 10:
			s.wait(ctx)
		case 11:
			err = s.tooLarge(ctx)
		}
		if errors.Is(err, backend.ErrClosed) {
			s.slot.producer(ctx, p)
		}
		s.h.pause(s.dice)
	}
}

// next makes a value and notes it.
func (s *sender) next(hs backend.Headers) value {
	s.n++
	v := value{sender: s.number, n: s.n, kind: plain, fill: make([]byte, pick(s.dice, 0, 1, 20, 200, 1500))}
	for i := range v.fill {
		v.fill[i] = byte(s.dice.Uint32())
	}
	switch x := s.dice.IntN(25); {
	case x == 0:
		v.kind = poison
	case x == 1:
		v.kind = rejected
	case x == 2 && s.h.refuses:
		v.kind = unwanted
	}
	s.h.ledger.begin(v, hs)
	return v
}

// send calls Send, sometimes with too little time.
func (s *sender) send(ctx context.Context) error {
	vs := make([]value, 1+s.dice.IntN(5))
	for i := range vs {
		vs[i] = s.next(nil)
	}
	if chance(s.dice, 0.2) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pick(s.dice, 0, time.Millisecond, 20*time.Millisecond))
		defer cancel()
	}
	err := s.p.Send(ctx, vs...)
	var partly *producer.SendError
	if !errors.As(err, &partly) {
		for _, v := range vs {
			s.h.ledger.tell(v.id(), outcomeOf(err))
		}
		return err
	}
	for i, v := range vs {
		at := slices.IndexFunc(partly.Failed, func(e *backend.RecordError) bool { return e.Index == i })
		if at < 0 {
			s.h.ledger.tell(v.id(), acked)
			continue
		}
		s.h.ledger.tell(v.id(), outcomeOf(partly.Failed[at]))
	}
	return err
}

// enqueue calls Enqueue or TryEnqueue several times in a row.
func (s *sender) enqueue(ctx context.Context) error {
	try := chance(s.dice, 0.2)
	for range 1 + s.dice.IntN(8) {
		v := s.next(nil)
		var r producer.Receipt
		var err error
		if try {
			r, err = s.p.TryEnqueue(v)
		} else {
			r, err = s.p.Enqueue(ctx, v)
		}
		if err := s.accepted(v, r, err); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) accepted(v value, r producer.Receipt, err error) error {
	if err == nil {
		s.h.ledger.promise(v.id(), r, s.p)
		s.since = append(s.since, promise{r, s.p})
		return nil
	}
	s.h.ledger.tell(v.id(), absent)
	if !errors.Is(err, producer.ErrFull) && !errors.Is(err, backend.ErrClosed) && !errors.Is(err, context.Canceled) {
		s.h.errorf("Enqueue of record %s: %v", v.id(), err)
	}
	return err
}

// record sends a record with headers and a time.
func (s *sender) record(ctx context.Context) error {
	hs := backend.Headers{{Name: "a", Value: []byte{0, 1}}, {Name: "a", Value: nil}}
	v := s.next(hs)
	r, err := s.p.EnqueueRecord(ctx, producer.Record[value]{Value: v, Headers: hs, Time: time.Unix(1_000_000+int64(s.n), 0)})
	return s.accepted(v, r, err)
}

// flush calls Flush. When it returns nil, all that this goroutine enqueued is durable.
func (s *sender) flush(ctx context.Context) error {
	err := s.p.Flush(ctx)
	if err == nil && s.alone {
		for _, p := range s.since {
			select {
			case <-p.receipt.Done():
			default:
				s.h.errorf("Flush returned nil and a receipt is open")
				return nil
			}
			if _, err := p.receipt.Wait(ctx); err != nil && ctx.Err() == nil {
				s.h.errorf("Flush returned nil and a receipt failed: %v", err)
			}
		}
	}
	s.since = nil
	return err
}

// wait waits for one of the receipts.
func (s *sender) wait(ctx context.Context) {
	if len(s.since) > 0 {
		pick(s.dice, s.since...).receipt.Wait(ctx)
	}
}

// tooLarge offers a record that the store can never hold.
func (s *sender) tooLarge(ctx context.Context) error {
	s.n++
	v := value{sender: s.number, n: s.n, kind: large, fill: make([]byte, recordBytes)}
	s.h.ledger.begin(v, nil)
	s.h.ledger.tell(v.id(), absent)
	_, err := s.p.Enqueue(ctx, v)
	if errors.Is(err, backend.ErrTooLarge) {
		return nil
	}
	if err == nil || !errors.Is(err, backend.ErrClosed) && ctx.Err() == nil {
		s.h.errorf("Enqueue of a record that is too large: %v", err)
	}
	return err
}
