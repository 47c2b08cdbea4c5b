package consumer_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
)

func TestManualAckFollowsTheLowWaterMark(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, newScript(recs(0, 5)), consumer.Checkpoint(store, key), consumer.ManualAck())
	var m []consumer.Message[int]
	for one, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m = append(m, one); len(m) == 5 {
			break
		}
	}
	for _, tc := range []struct {
		ack  int
		want backend.Offset
	}{{3, "0"}, {1, "0"}, {0, "2"}, {0, "2"}, {2, "4"}, {1, "4"}, {4, "5"}} {
		m[tc.ack].Ack() // after the loop has ended
		if err := c.Commit(t.Context()); err != nil || stored(t, store) != tc.want {
			t.Errorf("after the ack of %d: %v, %q is saved, want %q", tc.ack, err, stored(t, store), tc.want)
		}
	}
}

func TestManualAckFromManyGoroutines(t *testing.T) {
	const n = 20_000
	s, store := count(t, n), newSpy()
	c := newConsumer(t, s, consumer.Checkpoint(store, key), consumer.ManualAck(), consumer.StopAtTail(),
		consumer.CheckpointEvery(100, time.Second))
	var wg sync.WaitGroup
	work := make(chan consumer.Message[int], 64)
	var mu sync.Mutex
	done := make([]bool, n)
	for range 4 {
		wg.Go(func() {
			var held []consumer.Message[int]
			finish := func() {
				rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
				for _, m := range held {
					mu.Lock()
					done[m.Value] = true
					mu.Unlock()
					m.Ack()
				}
				held = held[:0]
			}
			for {
				select {
				case m, ok := <-work:
					if !ok {
						return
					}
					if held = append(held, m); len(held) == 10 {
						finish()
					}
				case <-time.After(time.Millisecond): // nothing comes any more until these are acknowledged
					finish()
				}
			}
		})
	}
	// Whatever is saved, all before it is done.
	places := map[backend.Offset]int{}
	for i, r := range s.Records() {
		places[r.Next] = i
	}
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		if i, ok := places[stored(t, store)]; ok && slices.Contains(done[:i+1], false) {
			t.Errorf("record %d is behind the checkpoint and not done", slices.Index(done, false))
		}
	}
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if work <- m; m.Value%1000 == 0 {
			check()
		}
	}
	close(work)
	wg.Wait()
	check()
	if st := c.Stats(); st.Done != n || st.BufferedBytes != 0 || stored(t, store) != s.Records()[n-1].Next {
		t.Errorf("stats %+v, %q is saved", st, stored(t, store))
	}
}

func TestManualAckWindowStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript()
		for i := range 1000 {
			src.add(recs(i, i+1))
		}
		// A record counts 161 to 163 bytes: room for 10 and the batch on top.
		c := newConsumer(t, src, consumer.ManualAck(), consumer.BufferBytes(10*161))
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var got []consumer.Message[int]
		var wg sync.WaitGroup
		wg.Go(func() {
			for m, err := range c.Messages(ctx) {
				if err == nil {
					mu.Lock()
					got = append(got, m)
					mu.Unlock()
				}
			}
		})
		for i, want := range []int{10, 10, 11, 15} {
			elapse(time.Hour)
			mu.Lock()
			if len(got) != want || c.Stats().Read != uint64(want) {
				t.Errorf("step %d: %d records handed out, want %d", i, len(got), want)
			}
			switch i {
			case 0:
				got[4].Ack() // above the low-water mark: frees nothing
			case 1:
				got[0].Ack()
			case 2:
				for _, m := range got[1:5] {
					m.Ack()
				}
			}
			mu.Unlock()
		}
		cancel()
		wg.Wait()
	})
}

func TestManualAckAtTheTailWaitsForTheAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 3), step{caughtUp: true}), consumer.Checkpoint(store, key), consumer.ManualAck(),
			consumer.StopAtTail())
		begun := time.Now()
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Duration(3-m.Value)*time.Minute, m.Ack)
		}
		if took := time.Since(begun); took != 3*time.Minute || stored(t, store) != "3" {
			t.Errorf("the loop took %v, %q is saved", took, stored(t, store))
		}
	})
}

func TestManualAckThatNeverComesLeavesCtxToEndTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 3), step{caughtUp: true}, step{caughtUp: true}),
			consumer.Checkpoint(store, key), consumer.ManualAck(), consumer.StopAtTail())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var last consumer.Message[int]
		for m, err := range c.Messages(ctx) {
			if err != nil {
				if err != context.DeadlineExceeded {
					t.Errorf("got %v", err)
				}
				continue
			}
			if m.Value != 1 {
				m.Ack()
			} else {
				last = m
			}
		}
		if at := stored(t, store); at != "1" {
			t.Errorf("%q is saved, want before the record that nobody acknowledged", at)
		}
		last.Ack()
		// The next loop saves it before it claims.
		got, err := drain(t.Context(), c)
		if err != nil || got != nil || stored(t, store) != "3" {
			t.Errorf("the next loop got %v and %v, %q is saved", got, err, stored(t, store))
		}
	})
}

func TestAckOfAnEarlierLoopMovesNothing(t *testing.T) {
	c := newConsumer(t, count(t, 4), consumer.ManualAck())
	var m consumer.Message[int]
	for m = range c.Messages(t.Context()) {
		break
	}
	for later := range c.Messages(t.Context()) {
		m.Ack()
		if st := c.Stats(); st.Done != 0 || later.Value != 0 {
			t.Errorf("%d done in a loop that began at %d", st.Done, later.Value)
		}
		break
	}
}
