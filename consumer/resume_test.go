package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/ahead"
	"github.com/headrace/headrace/producer"
)

// acked reads c until it has n messages, acks those with the given numbers, and saves. The consumer needs ManualAck.
func acked(t *testing.T, c *consumer.Consumer[int], n int, numbers ...int) {
	t.Helper()
	got := 0
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(numbers, m.Value) {
			m.Ack()
		}
		if got++; got == n {
			break
		}
	}
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What was finished out of order is left out by the next consumer, in every kind of loop.
func TestDoneRecordsBehindThePlaceAreLeftOut(t *testing.T) {
	src := count(t, 1000)
	loops := map[string]func(c *consumer.Consumer[int]) ([]int, error){
		"Messages": func(c *consumer.Consumer[int]) ([]int, error) { return drain(t.Context(), c) },
		"Batches": func(c *consumer.Consumer[int]) (got []int, last error) {
			for b, err := range c.Batches(t.Context()) {
				last = err
				for _, m := range b {
					got = append(got, m.Value)
				}
			}
			return got, last
		},
		"Process": func(c *consumer.Consumer[int]) (got []int, err error) {
			err = c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
				got = append(got, m.Value)
				return nil
			})
			return got, err
		},
		"Pipe": func(c *consumer.Consumer[int]) (got []int, err error) {
			err = c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
				got = append(got, m.Value)
				return producer.Resolved("1", nil), nil
			})
			return got, err
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			store := newSpy()
			first := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.ManualAck())
			acked(t, first, 700, 0, 2, 3, 4, 255, 256, 257, 600)
			c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail(), consumer.BatchRecords(10))
			got, err := loop(c)
			want := upTo(0, 1000)
			want = slices.DeleteFunc(want, func(n int) bool { return slices.Contains([]int{0, 2, 3, 4, 255, 256, 257, 600}, n) })
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %d records and %v: %v…", len(got), err, got[:min(10, len(got))])
			}
			if cp, err := store.Load(t.Context(), key); err != nil || cp.Ahead != "" || cp.Offset != c.Stats().Position || c.Stats().Done != 999 {
				t.Errorf("at the end %v, %v, %+v", cp, err, c.Stats())
			}
		})
	}
}

// A consumer that is killed before it has read as far as the consumer before it forgets nothing.
func TestDoneRecordsThatAreNotReadYetAreKept(t *testing.T) {
	src, store := count(t, 1000), newSpy()
	manual := func() *consumer.Consumer[int] {
		return newConsumer(t, src, consumer.Checkpoint(store, key), consumer.ManualAck(), consumer.BufferBytes(1))
	}
	acked(t, manual(), 900, append(upTo(5, 300), upTo(700, 800)...)...)
	acked(t, manual(), 3, 1) // hands out 0, 1, 2
	acked(t, manual(), 6, 2) // 0, 2, 3, 4, 300, 301
	got, err := drain(t.Context(), newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail()))
	want := slices.Concat([]int{0, 3, 4}, upTo(300, 700), upTo(800, 1000))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d records, %v, %v", len(got), got[:min(10, len(got))], err)
	}
}

// The next loop of the same consumer leaves done records out too, with and without a store.
func TestTheNextLoopLeavesOutWhatIsDone(t *testing.T) {
	for _, opts := range [][]consumer.Option{nil, {consumer.Checkpoint(newSpy(), key)}} {
		c := newConsumer(t, count(t, 10), append(opts, consumer.ManualAck())...)
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Value%3 == 1 {
				m.Ack()
			}
			if m.Value == 8 {
				break
			}
		}
		var got []int
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, m.Value); m.Value == 9 {
				break
			}
		}
		if !slices.Equal(got, []int{0, 2, 3, 5, 6, 8, 9}) {
			t.Errorf("got %v", got)
		}
	}
}

// A checkpoint of Messages keeps what an earlier Process has finished.
func TestCheckpointOfAMessageKeepsWhatIsDoneBehindIt(t *testing.T) {
	src, store := count(t, 10), newSpy()
	acked(t, newConsumer(t, src, consumer.Checkpoint(store, key), consumer.ManualAck()), 9, 2, 5, 6)
	for m, err := range newConsumer(t, src, consumer.Checkpoint(store, key)).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value != 3 {
			continue
		}
		if err := store.Save(t.Context(), key, m.Checkpoint()); err != nil { // as SaveTx does
			t.Fatal(err)
		}
		break
	}
	got, err := drain(t.Context(), newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail()))
	if err != nil || !slices.Equal(got, []int{4, 7, 8, 9}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Records that were skipped as poison, records that the store filters out, and empty batches do not shift the count.
func TestPoisonAndFilteredRecordsAndEmptyBatchesDoNotShiftTheCount(t *testing.T) {
	steps := func() *script {
		return newScript(step{next: "0"}, step{from: 0, to: 6, values: []string{"0", "bad", "2", "3", "bad", "5"}, next: "8"},
			step{next: "9"}, step{from: 10, to: 16, values: []string{"bad", "11", "12", "13", "14", "15"}}, step{read: io.EOF})
	}
	store := newSpy()
	opts := []consumer.Option{consumer.Checkpoint(store, key), consumer.OnPoison(consumer.Skip), consumer.StartAt("0")}
	// The poison at 1, 4 and 10 is done when the loop passes it.
	acked(t, newConsumer(t, steps(), append(opts, consumer.ManualAck())...), 7, 3, 12)
	for _, again := range []*script{
		steps(),
		newScript(recs(0, 6), recs(10, 16), step{read: io.EOF}),                                            // everything decodes now
		newScript(recs(0, 2), recs(2, 6), step{next: "9"}, recs(10, 12), recs(12, 16), step{read: io.EOF}), // other batches
	} {
		copied := checkpoint.NewMemory()
		cp, err := store.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		claimed, err := copied.Claim(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		cp.Epoch = claimed.Epoch
		if err := copied.Save(t.Context(), key, cp); err != nil {
			t.Fatal(err)
		}
		c := newConsumer(t, again, consumer.Checkpoint(copied, key))
		if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, []int{0, 2, 5, 11, 13, 14, 15}) {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

// Places inside a batch of the store, as a store has them that knows only the offset of a whole response.
func TestCountBeginsInsideABatch(t *testing.T) {
	src := memory.New()
	fill(t, src, 900, func(i int) []byte { return []byte(offset(i)) }) // one batch of the store
	store := newSpy()
	acked(t, newConsumer(t, src, consumer.Checkpoint(store, key), consumer.ManualAck()), 500, append(upTo(0, 123), 200, 201, 400)...)
	got, err := drain(t.Context(), newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail()))
	want := slices.Concat(upTo(123, 200), upTo(202, 400), upTo(401, 900))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d records, %v", len(got), err)
	}
}

// Where the stream shows other records than before, the count is wrong: then records run again and none is left out.
func TestDoneRecordsOfAChangedStreamRunAgain(t *testing.T) {
	var log strings.Builder
	store := newSpy()
	acked(t, newConsumer(t, newScript(recs(0, 100)), consumer.Checkpoint(store, key), consumer.ManualAck()), 100, append(upTo(10, 20), upTo(60, 70)...)...)
	// Two records are hidden now, behind the first run.
	c := newConsumer(t, newScript(recs(0, 30), recs(32, 100), step{read: io.EOF}), consumer.Checkpoint(store, key),
		consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	got, err := drain(t.Context(), c)
	if want := slices.Concat(upTo(0, 10), upTo(20, 30), upTo(32, 100)); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if !strings.Contains(log.String(), "run again") {
		t.Errorf("log %s", log.String())
	}
}

// An operator who changes the place in the store by hand gets all records from there.
func TestDoneRecordsOfAnotherPlaceAreIgnored(t *testing.T) {
	var log strings.Builder
	store := checkpoint.NewMemory()
	acked(t, newConsumer(t, count(t, 10), consumer.Checkpoint(store, key), consumer.ManualAck()), 10, 5)
	moved := movedStore{store}
	c := newConsumer(t, newScript(recs(0, 10), step{read: io.EOF}), consumer.Checkpoint(moved, key), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(0, 10)) || !strings.Contains(log.String(), "run again") {
		t.Errorf("got %v, %v; log %s", got, err, log.String())
	}
}

// A movedStore has another offset beside the same Ahead.
type movedStore struct{ checkpoint.Store }

func (s movedStore) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	cp, err := s.Store.Claim(ctx, key)
	cp.Offset = "elsewhere"
	return cp, err
}

func TestDamagedAheadEndsTheLoopAndNamesTheKey(t *testing.T) {
	c := newConsumer(t, count(t, 10), consumer.Checkpoint(damagedStore{newSpy()}, key))
	if got, err := drain(t.Context(), c); err == nil || len(got) > 0 || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, %v", got, err)
	}
}

type damagedStore struct{ checkpoint.Store }

func (s damagedStore) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	cp, err := s.Store.Claim(ctx, key)
	cp.Offset, cp.Ahead = "5", "x"
	return cp, err
}

// However long the first record takes, all others go on, and after a kill it alone runs again.
func TestAfterAKillOnlyTheRecordInHandRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		store := newSpy()
		ctx, kill := context.WithCancel(t.Context())
		src := count(t, n)
		c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.DrainTimeout(time.Second))
		ended := make(chan error)
		release := make(chan struct{})
		go func() {
			ended <- c.Process(ctx, func(_ context.Context, m consumer.Message[int]) error {
				if m.Value == 17 {
					<-release
				}
				return nil
			}, consumer.Concurrency(64))
		}()
		elapse(1500 * time.Millisecond) // the save of a second
		store.failing(errors.New("killed"))
		kill()
		<-ended
		store.failing(nil)
		close(release)
		var again journal
		c = newConsumer(t, src, consumer.Checkpoint(store, key), consumer.StopAtTail())
		err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error { again.note(m.Value); return nil })
		if err != nil || fmt.Sprint(again.all) != "[17]" {
			t.Errorf("%d records ran again: %.80s, %v", len(again.all), fmt.Sprint(again.all), err)
		}
	})
}

// When the list of done records is full, no other record begins than the one that shortens it, and nothing is lost.
func TestProcessWaitsWhileTheListOfDoneRecordsIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 6000
		store := newSpy()
		c := newConsumer(t, count(t, n), consumer.Checkpoint(store, key), consumer.StopAtTail())
		var begun journal
		var full checkpoint.Checkpoint
		err := c.Process(t.Context(), func(ctx context.Context, m consumer.Message[int]) error {
			begun.note(m.Value)
			if m.Value == 1 { // holds up all odd numbers
				<-time.After(time.Minute)
				var err error
				if full, err = store.Load(ctx, key); err != nil {
					t.Error(err)
				}
				begun.mu.Lock()
				defer begun.mu.Unlock()
				if len(begun.all) > 2*ahead.Runs {
					t.Errorf("%d records have begun", len(begun.all))
				}
			}
			return nil
		}, consumer.Concurrency(2), c.KeyBy(func(v int) string {
			if v%2 == 1 {
				return "odd"
			}
			return fmt.Sprint(v)
		}))
		if err != nil || c.Stats().Done != n || len(begun.all) != n {
			t.Errorf("%d done of %d begun, %v", c.Stats().Done, len(begun.all), err)
		}
		runs, err := ahead.Decode(full.Offset, full.Ahead)
		if err != nil || len(runs) < ahead.Runs/2 || len(full.Ahead) > checkpoint.AheadBytes {
			t.Errorf("%d runs in %d bytes, %v", len(runs), len(full.Ahead), err)
		}
	})
}

// Under ManualAck reading waits while the list is full.
func TestReadingWaitsWhileTheListOfDoneRecordsIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript()
		for i := range 100 {
			src.add(recs(100*i, 100*i+100))
		}
		src.add(step{read: io.EOF})
		c := newConsumer(t, src, consumer.ManualAck())
		var odd []consumer.Message[int]
		waited := time.AfterFunc(time.Minute, func() {
			if read := c.Stats().Read; read < 2*ahead.Runs || read > 2*ahead.Runs+5000 {
				t.Errorf("%d records were read", read)
			}
			for _, m := range odd {
				m.Ack()
			}
		})
		got := 0
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got++
			if m.Value%2 == 0 || m.Value > 4000 {
				m.Ack()
			} else {
				odd = append(odd, m)
			}
			<-time.After(time.Millisecond)
		}
		if waited.Stop() || got != 10_000 || c.Stats().Done != 10_000 {
			t.Errorf("%d records, %d done", got, c.Stats().Done)
		}
	})
}

// A codec that panics does so at a record that was done, too: nothing behind it is decoded.
func TestPanicAtADoneRecordIsRaised(t *testing.T) {
	src, store := count(t, 10), newSpy()
	acked(t, newConsumer(t, src, consumer.Checkpoint(store, key), consumer.ManualAck()), 9, 3, 4, 5)
	picky := codec.Func("", nil, func(src []byte) (int, error) {
		if string(src) == "4" {
			panic("four")
		}
		return decodeNumber(src)
	})
	c, err := consumer.New(src, picky, consumer.Checkpoint(store, key))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "four") {
			t.Errorf("the panic is %v", p)
		}
	}()
	for m, err := range c.Messages(t.Context()) {
		if err != nil || m.Value > 2 {
			t.Fatalf("%v, %v", m.Value, err)
		}
	}
}
