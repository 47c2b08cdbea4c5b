package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeTable is what a board looks at: the state of each stream is a number, and the place of a waiter is the state that its
// reader has seen.
type fakeTable struct {
	mu     sync.Mutex
	states map[int64]int64
	hidden map[int64]bool
	takes  time.Duration // a look
	fails  error
	hangs  bool
	looks  []int // how many places each look has asked about
}

func newFakeTable() *fakeTable {
	return &fakeTable{states: map[int64]int64{}, hidden: map[int64]bool{}}
}

func (f *fakeTable) look(ctx context.Context, ws []*waiter) ([]finding, error) {
	f.mu.Lock()
	f.looks = append(f.looks, len(ws))
	found := make([]finding, len(ws))
	for i, w := range ws {
		found[i].hidden = f.hidden[w.id]
		found[i].ready = !found[i].hidden && f.states[w.id] > w.at.turn
	}
	takes, err, hangs := f.takes, f.fails, f.hangs
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(takes) // the finding is from the beginning, as that of a query is
	return found, err
}

func (f *fakeTable) set(stream, state int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[stream] = state
}

func (f *fakeTable) seen() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int(nil), f.looks...)
}

// A sleeper is a waiter of a test.
type sleeper struct {
	waiter
	woken chan struct{}
	at    time.Time // when it was woken
}

func newSleeper(stream int64) *sleeper {
	s := &sleeper{woken: make(chan struct{})}
	s.waiter = waiter{id: stream, wake: func() { s.at = time.Now(); close(s.woken) }}
	return s
}

func (s *sleeper) isAwake() bool {
	select {
	case <-s.woken:
		return true
	default:
		return false
	}
}

// onBoard lets sleepers wait, one for each of the given streams.
func onBoard(t *testing.T, b *board, streams ...int64) (all []*sleeper) {
	t.Helper()
	for _, id := range streams {
		s := newSleeper(id)
		if !b.await(&s.waiter, b.mark()) {
			t.Fatalf("the reader of stream %d does not wait", id)
		}
		all = append(all, s)
	}
	return all
}

func TestOneLookAsksForAllWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		b := newBoard(time.Second, f.look)
		var all []*sleeper
		for id := range int64(lookPlaces + 10) {
			time.Sleep(100 * time.Microsecond) // they do not begin at the same time
			all = append(all, onBoard(t, b, id+1)...)
		}
		f.set(7, 1)
		begun := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, s := range all {
			if s.isAwake() != (i == 6) {
				t.Errorf("the reader of stream %d: awake %v", i+1, s.isAwake())
			}
		}
		if d := all[6].at.Sub(begun); d > time.Second {
			t.Errorf("woken after %v", d)
		}
		if n := len(f.seen()); n > 22 {
			t.Errorf("%d queries in 10 s, want two for each look", n)
		}
		for _, s := range all {
			b.withdraw(&s.waiter)
		}
	})
}

func TestNotificationWakesTheReadersOfItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		b := newBoard(time.Hour, f.look)
		s := onBoard(t, b, 1, 2, 1)
		b.tell("1")
		if !s[0].isAwake() || s[1].isAwake() || !s[2].isAwake() {
			t.Error("not the readers of the stream were woken")
		}
		if b.withdraw(&s[0].waiter) || !b.withdraw(&s[1].waiter) || b.withdraw(&s[1].waiter) {
			t.Error("withdraw does not say whether the waiter was waiting")
		}
		b.tell("2")
		if s[1].isAwake() {
			t.Error("a withdrawn waiter was woken")
		}
		if n := len(f.seen()); n > 0 {
			t.Errorf("%d looks", n)
		}
	})
}

// The notification comes while the query of the reader is running.
func TestNotificationBesideAQueryIsNotMissed(t *testing.T) {
	for _, others := range []int{0, 1, 62, 63, 64, 1000} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeTable()
			b := newBoard(time.Hour, f.look)
			mark := b.mark()
			f.set(1, 1)
			b.tell("1")
			for range others {
				b.tell("2")
			}
			s := newSleeper(1)
			if !b.await(&s.waiter, mark) {
				return
			}
			begun := time.Now()
			<-s.woken
			if d := s.at.Sub(begun); d > hiddenPoll {
				t.Errorf("with %d notifications behind it: woken after %v", others, d)
			}
			if others < 63 {
				t.Errorf("with %d notifications behind it, the reader waits for a look", others)
			}
		})
	}
}

func TestUnknownPayloadBesideAQueryIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		b := newBoard(time.Hour, f.look)
		mark := b.mark()
		f.set(1, 1)
		b.tell("")
		s := newSleeper(1)
		begun := time.Now()
		if b.await(&s.waiter, mark) {
			<-s.woken
			if d := s.at.Sub(begun); d > hiddenPoll {
				t.Errorf("woken after %v", d)
			}
		}
	})
}

func TestUnknownPayloadBeginsALook(t *testing.T) {
	for _, payload := range []string{"", "0", "stream", "99999999999999999999"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeTable()
			b := newBoard(time.Hour, f.look)
			s := onBoard(t, b, 1, 2)
			f.set(2, 1)
			b.tell(payload)
			synctest.Wait()
			if s[0].isAwake() || !s[1].isAwake() || len(f.seen()) != 1 {
				t.Errorf("payload %q: awake %v and %v after %d looks", payload, s[0].isAwake(), s[1].isAwake(), len(f.seen()))
			}
			b.withdraw(&s[0].waiter)
		})
	}
}

// A look that began before the change must not be the last look.
func TestUnknownPayloadBesideALookBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		f.takes = time.Second
		b := newBoard(time.Hour, f.look)
		s := onBoard(t, b, 1)
		b.tellAll()
		synctest.Wait()
		f.set(1, 1)
		b.tellAll()
		begun := time.Now()
		<-s[0].woken
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("woken after %v", d)
		}
	})
}

func TestReaderOfAMissingStreamIsLookedAtSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		b := newBoard(time.Hour, f.look)
		s := onBoard(t, b, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.seen()); n != 1 {
			t.Fatalf("%d looks without a notification, want the one for what came before the wait", n)
		}
		f.set(0, 1)
		begun := time.Now()
		for !s[0].isAwake() {
			b.tell("5") // frequent notifications must not put the look off
			time.Sleep(time.Millisecond)
		}
		if d := s[0].at.Sub(begun); d > hiddenPoll {
			t.Errorf("woken after %v", d)
		}
	})
}

func TestHiddenRecordsAreLookedAtSoonAndAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		f.hidden[1] = true
		b := newBoard(time.Second, f.look)
		s := onBoard(t, b, 1, 2, 3, 0)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		f.mu.Lock()
		f.hidden[1] = false
		f.states[1] = 1
		f.mu.Unlock()
		begun := time.Now()
		<-s[0].woken
		if d := s[0].at.Sub(begun); d > hiddenPoll {
			t.Errorf("woken after %v", d)
		}
		looks := f.seen()
		if looks[0] != 1 || looks[1] != 4 {
			t.Errorf("looks at %d and %d places, want one at the missing stream and one at all", looks[0], looks[1])
		}
		for _, n := range looks[2:] {
			if n != 1 {
				t.Errorf("a look asks for %d places, want only that with hidden records", n)
			}
		}
		for _, s := range s[1:] {
			b.withdraw(&s.waiter)
		}
	})
}

// Each reader then asks by itself, and gets the error of its own query.
func TestFailedLookWakesAllWaiters(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeTable()
			f.fails, f.hangs = errors.New("the database is away"), hangs
			b := newBoard(time.Second, f.look)
			s := onBoard(t, b, 1, 2)
			begun := time.Now()
			<-s[0].woken
			<-s[1].woken
			if d := time.Since(begun); d > time.Second+lookTime {
				t.Errorf("woken after %v", d)
			}
		})
	}
}

func TestLookEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTable()
		f.hangs = true
		b := newBoard(time.Second, f.look)
		s := onBoard(t, b, 1, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		begun := time.Now()
		b.withdraw(&s[0].waiter)
		b.withdraw(&s[1].waiter)
		synctest.Wait() // the bubble would fail if the look went on
		f.hangs = false
		f.set(3, 1)
		last := onBoard(t, b, 3)[0]
		<-last.woken
		if d := time.Since(begun); d > time.Second {
			t.Errorf("the next reader was woken after %v", d)
		}
	})
}

// Readers come and go, look at their streams and wait; notifications get lost. Nobody may wait longer than a poll and the time of two
// looks for a change.
func TestNoChangeIsMissed(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			const streams, poll = 5, 100 * time.Millisecond
			f := newFakeTable()
			f.takes = 5 * time.Millisecond
			b := newBoard(poll, f.look)
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			changed := map[int64]time.Time{} // when the state of a stream that a reader has not seen began
			var all sync.WaitGroup
			for i := range int64(20) {
				patient := rand.New(rand.NewPCG(seed, uint64(i)+2))
				all.Go(func() {
					for at := int64(0); ctx.Err() == nil; {
						mark := b.mark()
						f.mu.Lock()
						state, since := f.states[i%streams], changed[i%streams]
						f.mu.Unlock()
						if state > at {
							if late := time.Since(since); at == state-1 && late > poll+3*f.takes {
								t.Errorf("seed %d: a reader sees a change after %v", seed, late)
							}
							at = state
						}
						time.Sleep(time.Duration(patient.IntN(3)) * time.Millisecond) // the query
						s := newSleeper(i % streams)
						s.waiter.at.turn = at
						if !b.await(&s.waiter, mark) {
							continue
						}
						select {
						case <-s.woken:
						case <-ctx.Done():
						case <-time.After(time.Duration(patient.IntN(1000)) * time.Millisecond):
						}
						b.withdraw(&s.waiter)
					}
				})
			}
			for ctx.Err() == nil {
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
				id := random.Int64N(streams)
				f.mu.Lock()
				f.states[id]++
				changed[id] = time.Now()
				f.fails = nil
				if random.IntN(10) == 0 {
					f.fails = errors.New("away")
				}
				f.mu.Unlock()
				switch random.IntN(4) {
				case 0:
					b.tellAll()
				case 1:
					b.tell(string(rune('0' + id)))
				}
			}
			all.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.waiters) > 0 {
				t.Errorf("seed %d: %d streams have waiters left", seed, len(b.waiters))
			}
		})
	}
}
