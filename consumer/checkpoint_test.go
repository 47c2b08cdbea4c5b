package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

func TestCheckpointEveryRecords(t *testing.T) {
	store := newSpy()
	src := newScript(recs(0, 10), step{caughtUp: true})
	c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.CheckpointEvery(3, 0), consumer.StopAtTail())
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		// Of what came before m, which is all done, fewer than 3 may be seen again after a kill.
		var at int
		fmt.Sscan(string(stored(t, store)), &at)
		if m.Value-at >= 3 {
			t.Errorf("in record %d, the place saved is %d", m.Value, at)
		}
	}
	// The first is the place that Earliest turned out to be, the last the final save.
	if got, want := store.saves(), []backend.Offset{"0", "3", "6", "9", "10"}; !slices.Equal(got, want) {
		t.Errorf("saved %v, want %v", got, want)
	}
}

func TestCheckpointEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 10), step{caughtUp: true}),
			consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 3*time.Second), consumer.StopAtTail())
		for _, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second + time.Millisecond)
		}
		// Record 2 is in hand when 3 s are over, record 5 when another 3 s are.
		if got, want := store.saves(), []backend.Offset{"0", "3", "6", "9", "10"}; !slices.Equal(got, want) {
			t.Errorf("saved %v, want %v", got, want)
		}
	})
}

// With a shorter interval, an idle consumer would keep a processor busy.
func TestShortestCheckpointIntervalIsAMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 10), step{caughtUp: true}),
			consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, time.Nanosecond), consumer.StopAtTail())
		for _, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(400 * time.Microsecond)
		}
		if got, want := store.saves(), []backend.Offset{"0", "3", "6", "9", "10"}; !slices.Equal(got, want) {
			t.Errorf("saved %v, want %v", got, want)
		}
	})
}

func TestCheckpointOnlyAtTheEnd(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, count(t, 5000), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0),
		consumer.StopAtTail())
	if _, err := drain(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := store.saves(); len(got) != 2 {
		t.Errorf("saved %v, want the start and the end", got)
	}
}

func TestCheckpointPassesWhatLeftNothingToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, src := newSpy(), newScript(step{from: 0, to: 2, next: "7"}, step{next: "9"})
		c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.OnPoison(consumer.Skip))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { drain(ctx, c) })
		defer wg.Wait()
		defer cancel()
		for _, tc := range []struct {
			more []step
			want backend.Offset
		}{
			{nil, "9"},                       // filtered behind the last record, and an empty batch
			{[]step{{next: "12"}}, "12"},     // a heartbeat, with no record in between
			{[]step{{next: "12"}, {}}, "12"}, // batches that move nothing
			{[]step{{from: 12, to: 14, values: []string{"bad", "bad"}}}, "14"},
		} {
			src.add(tc.more...)
			elapse(1100 * time.Millisecond)
			if got := stored(t, store); got != tc.want {
				t.Errorf("saved %q, want %q", got, tc.want)
			}
		}
		if saves := store.saves(); len(saves) != 4 { // the start too
			t.Errorf("saved %v: some place twice, or too few", saves)
		}
	})
}

func TestCheckpointStaysBeforeTheRecordInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 3)), consumer.Checkpoint(store, key))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			elapse(time.Hour)
			if got := stored(t, store); m.Value > 0 && got != m.Offset {
				t.Errorf("%q is saved in record %s", got, m.Offset)
			}
			if m.Value == 2 {
				break
			}
		}
	})
}

func TestTwoConsumersOneKeyNewerWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := count(t, 0), newSpy()
		older := newConsumer(t, s, consumer.Checkpoint(store, key))
		newer := newConsumer(t, s, consumer.Checkpoint(store, key))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		var got []int
		var olderErr error
		wg.Go(func() { got, olderErr = drain(ctx, older) })
		appendNumbers(t, s, 0, 2)
		elapse(2 * time.Second)
		wg.Go(func() { drain(ctx, newer) })
		synctest.Wait()
		appendNumbers(t, s, 2, 4)
		elapse(2 * time.Second)

		if !errors.Is(olderErr, backend.ErrFenced) || !slices.Equal(got, upTo(0, 4)) {
			t.Errorf("the older loop got %v and ended with %v, want ErrFenced at its next save", got, olderErr)
		}
		if st := newer.Stats(); st.Done != 2 || stored(t, store) != s.Records()[3].Next {
			t.Errorf("the newer one did %d, and %q is saved; want the 2 behind the checkpoint", st.Done, stored(t, store))
		}
		if err := older.Commit(ctx); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("the older one's Commit: %v, want ErrFenced", err)
		}
		got, err := drain(ctx, newConsumer(t, s, consumer.Checkpoint(store, key), consumer.StopAtTail()))
		if err != nil || got != nil {
			t.Errorf("a third got %v and %v, want nothing left to do", got, err)
		}
	})
}

func TestExactlyOnceIsNeverMovedBack(t *testing.T) {
	for _, every := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			store := newSpy()
			c := newConsumer(t, newScript(recs(0, 10)), consumer.Checkpoint(store, key),
				consumer.CheckpointEvery(every, time.Minute))
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				// The caller's own transaction; it goes to the store behind the spy.
				if err := store.Store.Save(t.Context(), key, m.Checkpoint()); err != nil {
					t.Fatal(err)
				}
				elapse(30 * time.Second)
				if err := c.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := stored(t, store); got != m.Next {
					t.Fatalf("every %d: %q is saved in record %d, whose transaction stored %q", every, got, m.Value, m.Next)
				}
				if m.Value == 7 {
					break // with its effect committed
				}
			}
			if got := stored(t, store); got != "8" {
				t.Errorf("every %d: %q is saved after the loop, want what the last transaction stored", every, got)
			}
		})
	}
}

func TestEmptyCheckpointRefusedInOutOfOrderLoop(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, count(t, 3), consumer.Checkpoint(store, key), consumer.ManualAck(), consumer.StopAtTail())
	refused := 0
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		cp := m.Checkpoint()
		if cp != (checkpoint.Checkpoint{}) {
			t.Errorf("got %+v under ManualAck, want the empty one", cp)
		}
		if err := store.Store.Save(t.Context(), key, cp); errors.Is(err, backend.ErrRejected) {
			refused++
		}
		m.Ack()
	}
	if refused != 3 {
		t.Errorf("the store refused %d of 3", refused)
	}
	var byHand consumer.Message[int]
	byHand.Ack() // does nothing
	if cp := byHand.Checkpoint(); cp != (checkpoint.Checkpoint{}) {
		t.Errorf("a message made by hand: %+v", cp)
	}
}

func TestCommit(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, count(t, 9), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0))
	commit := func(want backend.Offset) {
		t.Helper()
		if err := c.Commit(t.Context()); err != nil || number(stored(t, store)) != want {
			t.Errorf("Commit: %v, %q is saved, want %q", err, stored(t, store), want)
		}
	}
	commit("") // nothing is done before the first loop
	for batch, err := range c.Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		commit("0") // a batch in hand is not done,
		batch[1].Ack()
		commit("2") // what is acknowledged in it is
		break
	}
	for m, err := range c.Messages(t.Context()) {
		if err == nil && m.Value == 4 {
			commit("4")
			m.Ack()
			commit("5")
			break
		}
	}
	commit("5")
	boom := errors.New("disk full")
	for m := range c.Messages(t.Context()) {
		if m.Value == 6 {
			store.failing(boom)
			if err := c.Commit(t.Context()); !errors.Is(err, boom) {
				t.Errorf("Commit: %v, want the store's error", err)
			}
			store.failing(nil)
			commit("6")
			break
		}
	}
	if err := newConsumer(t, newScript()).Commit(t.Context()); err == nil {
		t.Error("Commit without a store: no error")
	}
}

func TestPlaceGivenOutAndNotStoredHoldsBackNoSave(t *testing.T) {
	loops := map[string]func(c *consumer.Consumer[int], commit func()){
		"messages": func(c *consumer.Consumer[int], commit func()) {
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				m.Checkpoint() // for a log line
				if m.Value == 49 {
					commit()
					break
				}
			}
		},
		"batches": func(c *consumer.Consumer[int], commit func()) {
			for batch, err := range c.Batches(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range batch {
					m.Checkpoint()
				}
				if batch[0].Value != 0 {
					commit()
					break
				}
			}
		},
	}
	for name, loop := range loops {
		for _, with := range []string{"Commit", "final save", "save of the next loop"} {
			t.Run(name+" "+with, func(t *testing.T) {
				store := newSpy()
				c := newConsumer(t, count(t, 60), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0),
					consumer.BatchRecords(49), consumer.StopAtTail())
				loop(c, func() {
					switch with {
					case "Commit":
						if err := c.Commit(t.Context()); err != nil {
							t.Error(err)
						}
						store.failing(errDisk) // or the final save would do what Commit did not
					case "save of the next loop":
						store.failing(errDisk)
					}
				})
				store.failing(nil)
				if with == "save of the next loop" {
					if got, err := drain(t.Context(), c); got != nil || !errors.Is(err, errDisk) {
						t.Fatalf("got %v and %v, want the error of the final save", got, err)
					}
					for range c.Messages(t.Context()) {
						break
					}
				}
				if got := number(stored(t, store)); got != "49" {
					t.Errorf("%q is saved with 49 of 50 records done", got)
				}
			})
		}
	}
}

func TestStoredPlaceInTheMiddleOfABatchIsNotMovedBack(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, newScript(recs(0, 20)), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0),
		consumer.BatchRecords(10))
	for batch, err := range c.Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if batch[0].Value == 0 {
			continue
		}
		var places []checkpoint.Checkpoint
		for _, m := range batch {
			places = append(places, m.Checkpoint())
		}
		if err := store.Store.Save(t.Context(), key, places[4]); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context()); err != nil || stored(t, store) != "15" {
			t.Errorf("Commit: %v, and %q is stored, want the place of the body's transaction", err, stored(t, store))
		}
		break
	}
	if got := stored(t, store); got != "15" {
		t.Errorf("%q is stored after the loop, want the place of the body's transaction", got)
	}
}

func TestCommitTellsOfTheFenceWithAPlaceGivenOut(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, newScript(recs(0, 9)), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0))
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value < 4 {
			continue
		}
		if err := store.Store.Save(t.Context(), key, m.Checkpoint()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Store.Claim(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context()); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Commit: %v, want ErrFenced", err)
		}
		break
	}
}
