package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// A lateSink stores a batch at once and acknowledges it ackAfter later. A batch with a bad record ends the session: Recv
// says so refuseAfter later, without a word about which of the batches under way it was, and acks that are not due by
// then are lost.
type lateSink struct {
	ackAfter, refuseAfter time.Duration
	inSend                bool // Send refuses the batch itself; the session ends all the same

	mu      sync.Mutex
	stored  []string
	batches int // given to sessions
}

func (s *lateSink) NewAppender(backend.Format) backend.Appender { return s }
func (s *lateSink) Limits() backend.Limits                      { return backend.Limits{} }
func (s *lateSink) Open(context.Context) (backend.Session, error) {
	return &lateSession{lateSink: s, changed: make(chan struct{}, 1), over: make(chan struct{})}, nil
}

type lateSession struct {
	*lateSink
	changed chan struct{}
	over    chan struct{}
	once    sync.Once

	queue   []lateAck // stored, in order
	refused time.Time // when the refusal is due; zero: none
	behind  int       // batches taken from the refused one on
}

type lateAck struct {
	seq uint64
	due time.Time
}

func (s *lateSession) Send(_ context.Context, seq uint64, recs []backend.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	switch {
	case !s.refused.IsZero():
		s.behind++
	case slices.ContainsFunc(recs, func(r backend.Record) bool { return bad(&r) }):
		s.refused = time.Now().Add(s.refuseAfter)
		if s.inSend {
			s.wake()
			return fmt.Errorf("%w by Send", backend.ErrRejected)
		}
		s.behind++
	default:
		for _, r := range recs {
			s.stored = append(s.stored, string(r.Value))
		}
		s.queue = append(s.queue, lateAck{seq, time.Now().Add(s.ackAfter)})
	}
	s.wake()
	return nil
}

func (s *lateSession) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *lateSession) Recv(ctx context.Context) (backend.Ack, error) {
	for {
		s.mu.Lock()
		var due time.Time
		if len(s.queue) > 0 {
			due = s.queue[0].due
		}
		isAck := !due.IsZero() && (s.refused.IsZero() || !due.After(s.refused))
		if !isAck {
			due = s.refused
		}
		now := time.Now()
		switch {
		case due.IsZero() || due.After(now):
		case isAck:
			a := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			return backend.Ack{Seq: a.seq}, nil
		default:
			defer s.mu.Unlock()
			return backend.Ack{}, s.refusal()
		}
		s.mu.Unlock()
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(due.Sub(now))
		}
		select {
		case <-timer:
		case <-s.changed:
		case <-s.over:
			return backend.Ack{}, backend.ErrClosed
		case <-ctx.Done():
			return backend.Ack{}, ctx.Err()
		}
	}
}

func (s *lateSession) refusal() error {
	if len(s.queue) == 0 || len(s.queue)+s.behind == 1 {
		return backend.ErrRejected
	}
	return fmt.Errorf("%w: %w", backend.ErrRejected, backend.ErrIndeterminate)
}

func (s *lateSession) Close() error { s.once.Do(func() { close(s.over) }); return nil }

// load sends rows at an even pace, of which some are bad, and returns how long each one waited for its receipt. It checks that
// exactly the bad ones were refused, and that the others were stored in order.
func load(t *testing.T, s *lateSink, rows, perSecond int, isBad func(i int) bool) (took []time.Duration) {
	t.Helper()
	p := open(t, s)
	took = make([]time.Duration, rows)
	var waits sync.WaitGroup
	var good []string
	start := time.Now()
	for i := range rows {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		v := fmt.Sprint(i)
		if isBad(i) {
			v = "bad" + v
		} else {
			good = append(good, v)
		}
		began := time.Now()
		r := enqueue(t, p, v)[0]
		waits.Go(func() {
			if _, err := r.Wait(t.Context()); errors.Is(err, backend.ErrRejected) != isBad(i) || (err != nil) != isBad(i) {
				t.Errorf("row %s: %v", v, err)
			}
			took[i] = time.Since(began)
		})
	}
	waits.Wait()
	_ = p.Close()
	if got := firsts(s.stored); !slices.Equal(got, good) {
		t.Errorf("first copies stored: %q\nwant %q", got, good)
	}
	return took
}

const roundTrip = 200 * time.Millisecond

// refusals are the ways of a store to refuse: a refusal overtakes all acks, or some, or none.
var refusals = map[string]time.Duration{
	"at once":                 0,
	"before some of the acks": roundTrip / 10,
	"before half of the acks": roundTrip / 2,
	"behind all acks":         roundTrip,
}

// A thousand rows a second and 200 ms are 200 rows in flight, so that halves alone would find one in log2(200) = 8 round trips.
func TestOneBadRowDelaysTheOthersByAFewRoundTrips(t *testing.T) {
	for name, after := range refusals {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &lateSink{ackAfter: roundTrip, refuseAfter: after}
				took := load(t, s, 3000, 1000, func(i int) bool { return i == 500 })
				undisturbed := slices.Max(took[:100])
				most := 8 * roundTrip
				if after > 0 && after < roundTrip { // such a store also takes its time for refusals, of which up to five are of no use
					most += 5 * after
				}
				if delay := slices.Max(took) - undisturbed; delay > most {
					t.Errorf("a row waited for %v, %.1f round trips longer than one before the bad row", delay, float64(delay)/float64(roundTrip))
				}
			})
		})
	}
}

func TestABadRowASecondHasFewRowsStoredTwice(t *testing.T) {
	for name, after := range refusals {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const rows = 10_000
				s := &lateSink{ackAfter: roundTrip, refuseAfter: after}
				load(t, s, rows, 1000, func(i int) bool { return i%1000 == 500 })
				if n := len(s.stored); n > rows+rows/20 {
					t.Errorf("%d rows stored for %d sent", n, rows)
				}
			})
		})
	}
}

func TestNothingOfARefusedBatchIsStoredTwice(t *testing.T) {
	const rows = 1000
	for name, culprits := range map[string][]int{
		"the first": {0}, "the last": {rows - 1}, "one in the middle": {617}, "two": {200, 800}, "24 together": span(500, 524),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &lateSink{ackAfter: roundTrip}
				p := open(t, s, producer.Linger(time.Minute))
				all, good := mixed(rows, culprits...)
				enqueue(t, p, all...)
				if err := p.Close(); !errors.Is(err, backend.ErrRejected) {
					t.Errorf("Close: %v, want the refusals", err)
				}
				if !slices.Equal(s.stored, good) {
					t.Errorf("%d rows stored, want %d: each good one once", len(s.stored), len(good))
				}
				// To find one record takes log2(1000) = 10 batches. Its neighbours share most of them.
				if most := 1 + 11*min(len(culprits), 2) + 4*len(culprits); s.batches > most {
					t.Errorf("%d batches sent for %d bad rows, want at most %d", s.batches, len(culprits), most)
				}
			})
		})
	}
}

// span returns the numbers from first to before last.
func span(first, last int) (ns []int) {
	for i := first; i < last; i++ {
		ns = append(ns, i)
	}
	return ns
}

func TestASessionThatEndsWithARefusalInSendRefusesThatBatchAlone(t *testing.T) {
	for name, after := range refusals {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &lateSink{ackAfter: roundTrip, refuseAfter: after, inSend: true}
				load(t, s, 3000, 1000, func(i int) bool { return i == 0 || i == 500 || i == 501 || i == 2000 })
			})
		})
	}
}
