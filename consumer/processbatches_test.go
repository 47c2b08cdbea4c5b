package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/ahead"
)

func valuesOf(batch []consumer.Message[int]) (vs []int) {
	for _, m := range batch {
		vs = append(vs, m.Value)
	}
	return vs
}

func TestProcessBatchesHandsOutEveryRecordOnce(t *testing.T) {
	for _, workers := range []int{1, 4} {
		var j journal
		store := newSpy()
		c := newConsumer(t, count(t, 5000), consumer.StopAtTail(), consumer.BatchRecords(64), consumer.Checkpoint(store, key))
		err := c.ProcessBatches(t.Context(), func(_ context.Context, batch []consumer.Message[int]) error {
			if len(batch) == 0 || len(batch) > 64 || !slices.Equal(valuesOf(batch), upTo(batch[0].Value, batch[0].Value+len(batch))) {
				t.Errorf("a batch of %v", valuesOf(batch))
			}
			for _, m := range batch {
				j.note(m.Value)
			}
			return nil
		}, consumer.Concurrency(workers))
		slices.Sort(j.all)
		if err != nil || !slices.Equal(j.all, upTo(0, 5000)) || stored(t, store) != c.Stats().Position || c.Stats().Done != 5000 {
			t.Errorf("%d workers: %d records, %d done, %v", workers, len(j.all), c.Stats().Done, err)
		}
	}
}

func TestBatchWaitsForMoreRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(recs(0, 2), step{from: 2, to: 5, wait: 10 * time.Millisecond}, step{from: 5, to: 6, wait: time.Minute, caughtUp: true})
		var batches []string
		c := newConsumer(t, src, consumer.BatchWait(20*time.Millisecond))
		ctx, cancel := context.WithCancel(t.Context())
		err := c.ProcessBatches(ctx, func(_ context.Context, batch []consumer.Message[int]) error {
			if batches = append(batches, fmt.Sprint(valuesOf(batch))); len(batches) == 2 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || fmt.Sprint(batches) != "[[0 1 2 3 4] [5]]" {
			t.Errorf("%v, %v", batches, err)
		}
	})
}

// Whatever fails, and however, a batch holds one key's records and the order of the key is kept.
func TestProcessBatchesKeepsTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, n = 20, 4000
		var mu sync.Mutex
		next := make([]int, keys)
		for k := range next {
			next[k] = k
		}
		rng := rand.New(rand.NewPCG(3, 4))
		larger := false
		c := newConsumer(t, count(t, n), consumer.StopAtTail(), consumer.BatchRecords(100))
		err := c.ProcessBatches(t.Context(), func(_ context.Context, batch []consumer.Message[int]) error {
			k := batch[0].Value % keys
			<-time.After(time.Duration(1+k) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			larger = larger || len(batch) > 20
			chance := rng.IntN(10)
			if chance == 0 {
				return errBroken
			}
			failing := len(batch)
			if chance < 4 {
				failing = rng.IntN(len(batch))
			}
			for i, m := range batch {
				if i == failing {
					return fmt.Errorf("insert: %w", &consumer.BatchError{Index: i, Err: errBroken})
				}
				if m.Value != next[k] {
					t.Errorf("key %d: %d where %d is next", k, m.Value, next[k])
				}
				next[k] += keys
			}
			return nil
		}, consumer.Concurrency(16), c.KeyBy(func(v int) string { return fmt.Sprint(v % keys) }),
			consumer.Retries(100), consumer.RetryBackoff(time.Millisecond, time.Second))
		if err != nil || !larger {
			t.Fatalf("%v; batches of many records: %t", err, larger)
		}
		for k, v := range next {
			if v != n+k {
				t.Errorf("key %d ended before %d", k, v)
			}
		}
	})
}

// When the list of done records is full, no other batch begins than the one that shortens the list: all records that are
// done are in the list.
func TestBatchesWaitWhileTheListOfDoneRecordsIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20000
		store := newSpy()
		c := newConsumer(t, count(t, n), consumer.Checkpoint(store, key), consumer.StopAtTail())
		var ended journal
		err := c.ProcessBatches(t.Context(), func(ctx context.Context, batch []consumer.Message[int]) error {
			if batch[0].Value != 1 { // the others wait for each other, so their batches become large
				<-time.After(time.Millisecond)
			} else { // holds up all odd numbers
				<-time.After(time.Minute)
				cp, err := store.Load(ctx, key)
				if err != nil {
					t.Error(err)
				}
				runs, err := ahead.Decode(cp.Offset, cp.Ahead)
				ended.mu.Lock()
				done := len(ended.all)
				ended.mu.Unlock()
				if err != nil || len(runs) < ahead.Runs/4 || len(runs) < done-1 {
					t.Errorf("the list has %d runs, %v; %d records are done", len(runs), err, done)
				}
			}
			for _, m := range batch {
				ended.note(m.Value)
			}
			return nil
		}, consumer.Concurrency(4), c.KeyBy(func(v int) string {
			if v%2 == 1 {
				return "odd"
			}
			return fmt.Sprint(v % 20)
		}))
		slices.Sort(ended.all)
		if err != nil || !slices.Equal(ended.all, upTo(0, n)) {
			t.Errorf("%d records, %v", len(ended.all), err)
		}
	})
}

// Without keys only the records that a handler names are tried again.
func TestNamedRecordsOfABatchAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &letters{}
		tries := map[int]int{}
		c := newConsumer(t, count(t, 10), consumer.StopAtTail(), consumer.DeadLetters(dead))
		err := c.ProcessBatches(t.Context(), func(_ context.Context, batch []consumer.Message[int]) error {
			var errs []error
			for i, m := range batch {
				tries[m.Value]++
				switch {
				case m.Value == 3, m.Value == 5 && tries[5] < 3:
					errs = append(errs, &consumer.BatchError{Index: i, Err: errBroken})
				case m.Value == 7:
					errs = append(errs, &consumer.BatchError{Index: i, Err: consumer.Permanent(errBroken)})
				}
			}
			return errors.Join(errs...)
		}, consumer.Retries(2))
		if err != nil || fmt.Sprint(tries) != "map[0:1 1:1 2:1 3:3 4:1 5:3 6:1 7:1 8:1 9:1]" || fmt.Sprint(dead.values()) != "[3 7]" {
			t.Errorf("attempts %v, dead letters %v, %v", tries, dead.values(), err)
		}
		if s := c.Stats(); s.Done != 10 || s.DeadLetters != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// With keys the records behind a failed one come again after it, and this is no attempt at them.
func TestRecordsBehindAFailedOneOfTheirKeyComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &letters{}
		var batches []string
		c := newConsumer(t, count(t, 6), consumer.StopAtTail(), consumer.DeadLetters(dead))
		err := c.ProcessBatches(t.Context(), func(_ context.Context, batch []consumer.Message[int]) error {
			batches = append(batches, fmt.Sprint(valuesOf(batch)))
			for i, m := range batch {
				if m.Value == 2 || m.Value == 4 {
					return &consumer.BatchError{Index: i, Err: errBroken}
				}
			}
			return nil
		}, consumer.Retries(1), c.KeyBy(func(int) string { return "one" }))
		if err != nil || fmt.Sprint(batches) != "[[0 1 2 3 4 5] [2] [3 4 5] [4] [5]]" {
			t.Errorf("%v, %v", batches, err)
		}
		for _, d := range dead.got {
			if d.Attempts != 2 {
				t.Errorf("%s after %d attempts", d.Value, d.Attempts)
			}
		}
		if fmt.Sprint(dead.values()) != "[2 4]" {
			t.Errorf("dead letters %v", dead.values())
		}
	})
}

// An error that names no record condemns only the records that fail alone.
func TestBatchThatKeepsFailingIsTakenApart(t *testing.T) {
	for _, keyed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dead := &letters{}
			var batches []string
			c := newConsumer(t, count(t, 4), consumer.StopAtTail(), consumer.DeadLetters(dead))
			opts := []consumer.ProcessOption{consumer.Retries(1)}
			if keyed {
				opts = append(opts, c.KeyBy(func(int) string { return "one" }))
			}
			err := c.ProcessBatches(t.Context(), func(_ context.Context, batch []consumer.Message[int]) error {
				batches = append(batches, fmt.Sprint(valuesOf(batch)))
				if slices.Contains(valuesOf(batch), 2) {
					panic("no")
				}
				return nil
			}, opts...)
			if err != nil || fmt.Sprint(batches) != "[[0 1 2 3] [0 1 2 3] [0] [1] [2] [3]]" || fmt.Sprint(dead.values()) != "[2]" {
				t.Errorf("keyed %t: %v, dead letters %v, %v", keyed, batches, dead.values(), err)
			}
		})
	}
}

func TestPermanentGivesUpTheWholeBatch(t *testing.T) {
	dead := &letters{}
	c := newConsumer(t, count(t, 3), consumer.StopAtTail(), consumer.DeadLetters(dead))
	err := c.ProcessBatches(t.Context(), func(context.Context, []consumer.Message[int]) error { return consumer.Permanent(errBroken) })
	if err != nil || fmt.Sprint(dead.values()) != "[0 1 2]" || c.Stats().Done != 3 {
		t.Errorf("dead letters %v, %v", dead.values(), err)
	}
}

// A BatchError that names no record of the batch is a fault of the handler, and nothing is taken for done.
func TestBatchErrorOutsideTheBatchFailsTheWholeBatch(t *testing.T) {
	for _, bad := range []error{
		&consumer.BatchError{Index: 3, Err: errBroken}, &consumer.BatchError{Index: -1, Err: errBroken}, &consumer.BatchError{Index: 0},
		errors.Join(&consumer.BatchError{Index: 0, Err: errBroken}, errBroken),
	} {
		c := newConsumer(t, count(t, 3), consumer.StopAtTail())
		err := c.ProcessBatches(t.Context(), func(context.Context, []consumer.Message[int]) error { return bad }, consumer.Retries(0))
		var stopped *consumer.ProcessError
		if !errors.As(err, &stopped) || c.Stats().Done != 0 {
			t.Errorf("%v: %v, %d done", bad, err, c.Stats().Done)
		}
	}
}

func TestProcessBatchesDrainsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, store := count(t, 100), checkpoint.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		var j journal
		run := func(ctx context.Context) error {
			c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail(), consumer.BatchRecords(7))
			return c.ProcessBatches(ctx, func(_ context.Context, batch []consumer.Message[int]) error {
				if batch[0].Value == 21 {
					cancel()
				}
				<-time.After(time.Second)
				for _, m := range batch {
					j.note(m.Value)
				}
				return nil
			}, consumer.Concurrency(3))
		}
		if err := run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(j.all)
		if !slices.Equal(j.all, upTo(0, 100)) {
			t.Errorf("%v", j.all)
		}
	})
}

func TestProcessBatchesRefusesMiddleware(t *testing.T) {
	c := newConsumer(t, count(t, 1))
	use := consumer.Use(func(h consumer.Handler[int]) consumer.Handler[int] { return h })
	err := c.ProcessBatches(t.Context(), func(context.Context, []consumer.Message[int]) error { return nil }, use)
	if err == nil || !strings.Contains(err.Error(), "Use") {
		t.Errorf("%v", err)
	}
	if err := c.ProcessBatches(t.Context(), nil); err == nil {
		t.Error("a nil handler")
	}
}
