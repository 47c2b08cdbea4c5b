package consumer_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// sizes ranges over batches and returns their sizes and all values in order.
func sizes(ctx context.Context, c *consumer.Consumer[int]) (n, got []int, last error) {
	for batch, err := range c.Batches(ctx) {
		if err != nil {
			last = err
			continue
		}
		n = append(n, len(batch))
		for _, m := range batch {
			got = append(got, m.Value)
		}
	}
	return n, got, last
}

func TestBatchesAreFullWhileThereIsABacklog(t *testing.T) {
	s := count(t, 2500)
	c := newConsumer(t, s, consumer.StopAtTail(), consumer.BatchRecords(700), consumer.BatchWait(time.Hour))
	n, got, err := sizes(t.Context(), c)
	if err != nil || !slices.Equal(n, []int{700, 700, 700, 400}) || !slices.Equal(got, upTo(0, 2500)) {
		t.Errorf("sizes %v, %v", n, err)
	}
}

func TestBatchWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(
			recs(0, 1), step{wait: 9 * time.Second, from: 1, to: 2}, // within 10 s of the first
			step{wait: 2 * time.Second, from: 2, to: 3}, // too late for it
			step{wait: time.Hour, read: io.EOF})
		c := newConsumer(t, src, consumer.BatchWait(10*time.Second))
		begun := time.Now()
		var at []time.Duration
		var n []int
		for batch, err := range c.Batches(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n, at = append(n, len(batch)), append(at, time.Since(begun))
		}
		if !slices.Equal(n, []int{2, 1}) || !slices.Equal(at, []time.Duration{10 * time.Second, 21 * time.Second}) {
			t.Errorf("batches of %v records at %v", n, at)
		}
	})
}

func TestBatchWaitCountsFromTheArrivalOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(recs(0, 2), step{wait: time.Second, from: 2, to: 3}, step{hang: true})
		c := newConsumer(t, src, consumer.BatchRecords(2), consumer.BatchWait(10*time.Second))
		var asked time.Time
		for batch, err := range c.Batches(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if batch[0].Value == 2 {
				if waited := time.Since(asked); waited != 0 || len(batch) != 1 {
					t.Errorf("waited %v more for %d records", waited, len(batch))
				}
				break
			}
			elapse(time.Minute) // record 2 has then waited for longer than BatchWait
			asked = time.Now()
		}
	})
}

func TestBatchWaitZeroTakesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(recs(0, 2), recs(2, 5), step{wait: time.Second, from: 5, to: 6}, step{read: io.EOF})
		c := newConsumer(t, src, consumer.BatchWait(0))
		var n []int
		for batch, err := range c.Batches(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n = append(n, batch[0].Value, len(batch))
			synctest.Wait()
		}
		if n[0] != 0 || n[len(n)-2] != 5 {
			t.Errorf("first value and size of each batch: %v", n)
		}
	})
}

func TestBatchInHandIsNotDone(t *testing.T) {
	s, store := count(t, 10), newSpy()
	c := newConsumer(t, s, consumer.Checkpoint(store, key), consumer.CheckpointEvery(1, 0),
		consumer.BatchRecords(3), consumer.StopAtTail())
	for batch, err := range c.Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got := stored(t, store); got != batch[0].Offset {
			t.Errorf("%q is saved in the batch that begins at %q", got, batch[0].Offset)
		}
		if batch[0].Value == 6 {
			batch[1].Ack() // keeps 6 and 7
			break
		}
	}
	if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(8, 10)) {
		t.Errorf("then %v and %v, want from 8 on", got, err)
	}
}

func TestBatchBeforeAnErrorIsHandedOutFirst(t *testing.T) {
	boom := errors.New("boom")
	for name, src := range map[string]*script{
		"read error": newScript(recs(0, 3), step{read: boom}),
		"poison":     newScript(step{from: 0, to: 5, values: []string{"0", "1", "2", "bad"}}),
	} {
		n, got, err := sizes(t.Context(), newConsumer(t, src, consumer.BatchWait(time.Hour)))
		var poison *consumer.DecodeError
		if !slices.Equal(n, []int{3}) || !slices.Equal(got, upTo(0, 3)) || !errors.Is(err, boom) && !errors.As(err, &poison) {
			t.Errorf("%s: sizes %v, %v", name, n, err)
		}
	}
}

func TestCtxDropsABatchThatIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 3)), consumer.BatchWait(time.Hour), consumer.Checkpoint(store, key))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, _, err := sizes(ctx, c)
		if n != nil || err != context.DeadlineExceeded || stored(t, store) != "0" {
			t.Errorf("sizes %v, %v, %q is saved", n, err, stored(t, store))
		}
	})
}

// The slice is lent until the next batch, and the messages in it are values: copies of them stay valid.
func TestCopyOfALentBatchStaysValid(t *testing.T) {
	var kept [][]consumer.Message[int]
	for batch, err := range newConsumer(t, count(t, 1000), consumer.StopAtTail(), consumer.BatchRecords(10)).Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, slices.Clone(batch))
	}
	next := 0 // batches need not be full: what is late is not waited for
	for i, batch := range kept {
		for j, m := range batch {
			if m.Value != next {
				t.Fatalf("record %d of batch %d became %d, want %d", j, i, m.Value, next)
			}
			next++
		}
	}
	if next != 1000 {
		t.Errorf("%d records, want 1000", next)
	}
}

// The memory of a long batch must not keep the messages of that batch alive when only short batches follow.
func TestLentBatchForgetsALongerBatchBefore(t *testing.T) {
	src := newScript(recs(0, 100), recs(100, 101), step{read: io.EOF})
	var long int
	for batch, err := range newConsumer(t, src, consumer.BatchRecords(100)).Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 100 {
			long++
			continue
		}
		for i, m := range batch[:cap(batch)][len(batch):] {
			if m.Record.Value != nil {
				t.Fatalf("the memory behind the batch still holds message %d", i)
			}
		}
	}
	if long != 1 {
		t.Errorf("%d long batches, want 1", long)
	}
}

func TestBatchDoesNotWaitForRoomThatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, decoders := range []int{1, 2} {
			src := newScript()
			for i := range 100 {
				src.add(recs(10*i, 10*i+10))
			}
			src.add(step{read: io.EOF})
			begun := time.Now()
			c := newConsumer(t, src, consumer.BufferBytes(50*161), consumer.BatchWait(time.Hour), consumer.Decoders(decoders))
			n, got, err := sizes(t.Context(), c)
			if err != nil || !slices.Equal(got, upTo(0, 1000)) || time.Since(begun) != 0 {
				t.Errorf("got %d and %v after %v", len(got), err, time.Since(begun))
			}
			if len(n) > 20 {
				t.Errorf("sizes %v, want what the buffer holds", n)
			}
		}
	})
}

func TestBatchWaitsForWhatIsBeingDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript()
		for i := range 5 {
			src.add(recs(10*i, 10*i+10))
		}
		slow := codec.Func("", nil, func(b []byte) (int, error) {
			<-time.After(time.Second)
			return decodeNumber(b)
		})
		c, err := consumer.New(src, slow, consumer.BufferBytes(50*161), consumer.BatchWait(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for batch, err := range c.Batches(t.Context()) {
			if err != nil || len(batch) != 50 {
				t.Errorf("%d records and %v, want all that there was room for", len(batch), err)
			}
			break
		}
	})
}
