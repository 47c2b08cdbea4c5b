package consumer_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

func TestReadingRunsAheadAndIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript()
		for i := range 100 {
			src.add(recs(10*i, 10*i+10))
		}
		src.add(step{read: io.EOF})
		// A batch counts about 1,620 bytes: room for five, and one on top.
		c := newConsumer(t, src, consumer.BufferBytes(5*1620))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			st := c.Stats()
			ahead := int(st.Read) - m.Value/10*10 // the batch in hand counts until its last record is done
			if ahead > 60 || ahead < 50 && st.Read < 1000 {
				t.Fatalf("%d records read and not done in record %d", ahead, m.Value)
			}
			if st.BufferedBytes > 6*1640 || st.BufferedBytes < m.Value%10 {
				t.Fatalf("%d bytes buffered", st.BufferedBytes)
			}
		}
		if st := c.Stats(); st.Read != 1000 || st.BufferedBytes != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestBatchLargerThanTheBufferIsRead(t *testing.T) {
	src := newScript(recs(0, 1000), recs(1000, 2000), step{read: io.EOF})
	got, err := drain(t.Context(), newConsumer(t, src, consumer.BufferBytes(1)))
	if err != nil || !slices.Equal(got, upTo(0, 2000)) {
		t.Errorf("got %d and %v", len(got), err)
	}
}

func TestDecodingRunsAheadOfTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		decoded := 0
		c, err := consumer.New(newScript(recs(0, 100)), codec.Func("", nil, func(src []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			decoded++
			return decodeNumber(src)
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range c.Messages(t.Context()) {
			if synctest.Wait(); err != nil || decoded != 100 {
				t.Errorf("%d decoded while the first record is in hand, and %v", decoded, err)
			}
			break
		}
	})
}

func TestDecodersWorkAtOnceAndKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, peak := 0, 0
		c, err := consumer.New(newScript(recs(0, 5000), step{read: io.EOF}), codec.Func("", nil, func(src []byte) (int, error) {
			n, err := decodeNumber(src)
			if n%256 == 0 { // the first of a chunk; earlier chunks take longer
				mu.Lock()
				now++
				peak = max(peak, now)
				mu.Unlock()
				<-time.After(time.Duration(5000-n) * time.Second)
				mu.Lock()
				now--
				mu.Unlock()
			}
			return n, err
		}), consumer.Decoders(4))
		if err != nil {
			t.Fatal(err)
		}
		got, err := drain(t.Context(), c)
		if err != nil || !slices.Equal(got, upTo(0, 5000)) || peak != 4 {
			t.Errorf("got %d records and %v, at most %d decoders at once", len(got), err, peak)
		}
	})
}

func TestLeavingALoopEndsWhatRunsBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left in the bubble
		for _, decoders := range []int{1, 3} {
			for _, buffer := range []int{1, 1 << 20} {
				src := newScript()
				for i := range 200 {
					src.add(recs(i, i+1))
				}
				c := newConsumer(t, src, consumer.Decoders(decoders), consumer.BufferBytes(buffer))
				for range c.Messages(t.Context()) {
					break
				}
				if src.closed != 1 {
					t.Errorf("%d readers closed", src.closed)
				}
			}
		}
	})
}

// Whatever goes wrong in between, a consumer that is killed again and again sees every record, in order, and repeats at
// most what it had not saved.
func TestNothingIsLostUnderFaults(t *testing.T) {
	const n = 2000
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := count(t, n)
				src := backendtest.NewFlakySource(s, backendtest.Random(seed, 0.3,
					backendtest.Fail(backend.ErrTransient), backendtest.Fail(backend.ErrIndeterminate),
					backendtest.Truncate(7), backendtest.Delay(time.Second)))
				store := checkpointtest.NewFlaky(checkpoint.NewMemory(),
					checkpointtest.Fault{Op: checkpointtest.Save, Nth: 3, Times: 2},
					checkpointtest.Fault{Op: checkpointtest.Save, Nth: 7, After: true},
					checkpointtest.Fault{Op: checkpointtest.Claim, Nth: 2, After: true})
				next, lives := 0, 0
				for next < n {
					lives++
					c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.CheckpointEvery(10, time.Second),
						consumer.StopAtTail(), consumer.Decoders(1+int(seed%3)), consumer.BufferBytes(5000))
					seen, first := 0, true
					for m, err := range c.Messages(t.Context()) {
						if err != nil {
							t.Fatal(err)
						}
						if first && (m.Value > next || m.Value < next-10) || !first && m.Value != next {
							t.Fatalf("life %d: got %d, want %d", lives, m.Value, next)
						}
						first, next = false, m.Value+1
						if seen++; seen == 137 {
							break
						}
					}
				}
				if lives < 10 {
					t.Errorf("%d lives", lives)
				}
			})
		})
	}
}

func TestCommitAndStatsBesideALoop(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, count(t, 20_000), consumer.Checkpoint(store, key), consumer.StopAtTail())
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := c.Commit(t.Context()); err != nil {
					t.Error(err)
				}
				if st := c.Stats(); st.Done > st.Read {
					t.Errorf("stats %+v", st)
				}
			}
		})
	}
	got, err := drain(t.Context(), c)
	stop()
	wg.Wait()
	if err != nil || len(got) != 20_000 {
		t.Errorf("got %d and %v", len(got), err)
	}
	last := -1
	for _, o := range store.saves() {
		var at int
		if _, err := fmt.Sscan(string(o), &at); err != nil || at < last {
			t.Fatalf("%q was saved after %d: %v", o, last, err)
		}
		last = at
	}
}
