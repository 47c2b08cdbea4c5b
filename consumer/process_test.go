package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// letters keeps dead letters.
type letters struct {
	mu  sync.Mutex
	got []consumer.DeadLetter
	err error
}

func (l *letters) Send(_ context.Context, ls ...consumer.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.got = append(l.got, ls...)
	}
	return l.err
}

func (l *letters) values() (vs []string) {
	for _, d := range l.got {
		vs = append(vs, string(d.Value))
	}
	slices.Sort(vs)
	return vs
}

// A journal notes what handlers did, in order.
type journal struct {
	mu  sync.Mutex
	all []int
}

func (j *journal) note(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, n)
}

var errBroken = errors.New("broken")

func TestProcessDoesEveryRecordOnce(t *testing.T) {
	for _, workers := range []int{1, 8} {
		var j journal
		store := checkpoint.NewMemory()
		c := newConsumer(t, count(t, 5000), consumer.StopAtTail(), consumer.Checkpoint(store, "k"), consumer.CheckpointEvery(100, time.Hour))
		err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
			j.note(m.Value)
			if m.Checkpoint() != (checkpoint.Checkpoint{}) {
				t.Error("a place is given out although records finish out of order")
			}
			return nil
		}, consumer.Concurrency(workers))
		if err != nil {
			t.Fatal(err)
		}
		if workers == 1 && !slices.IsSorted(j.all) {
			t.Error("one worker did not keep the order")
		}
		slices.Sort(j.all)
		if len(j.all) != 5000 || j.all[0] != 0 || j.all[4999] != 4999 {
			t.Errorf("%d workers: %d records, %v…", workers, len(j.all), j.all[:3])
		}
		if s := c.Stats(); s.Done != 5000 {
			t.Errorf("%d done", s.Done)
		}
		if cp, err := store.Load(t.Context(), "k"); err != nil || cp.Offset != c.Stats().Position {
			t.Errorf("checkpoint %v, %v; want %v", cp, err, c.Stats().Position)
		}
	}
}

// Workers share the records of a chunk one by one. A record that waited behind a slow handler, while other workers are free,
// would never end here.
func TestSlowHandlersHoldUpNoOtherRecord(t *testing.T) {
	const records, workers = 600, 4
	var quick sync.WaitGroup
	quick.Add(records - (workers - 1))
	c := newConsumer(t, count(t, records), consumer.StopAtTail())
	err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
		switch m.Value {
		case 0, 1, 300: // one worker is left
			quick.Wait()
		default:
			quick.Done()
		}
		return nil
	}, consumer.Concurrency(workers))
	if err != nil {
		t.Fatal(err)
	}
}

// Order per key is kept whatever fails, and a key that waits for its retry holds up no other.
func TestProcessKeepsTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, n = 20, 4000
		c := newConsumer(t, count(t, n), consumer.StopAtTail())
		var mu sync.Mutex
		last, busy := map[int]int{}, map[int]bool{}
		tries := map[int]int{}
		rng := rand.New(rand.NewPCG(1, 2))
		err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
			k := m.Value % keys
			mu.Lock()
			if busy[k] {
				t.Errorf("two records of key %d at once", k)
			}
			busy[k] = true
			tries[m.Value]++
			fails := tries[m.Value] < 3 && rng.IntN(10) == 0
			mu.Unlock()
			<-time.After(time.Duration(1+k) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			busy[k] = false
			if fails {
				return errBroken
			}
			if before, ok := last[k]; ok && m.Value <= before {
				t.Errorf("key %d: %d behind %d", k, m.Value, before)
			}
			last[k] = m.Value
			return nil
		}, consumer.Concurrency(16), c.KeyBy(func(v int) string { return fmt.Sprint(v % keys) }), consumer.RetryBackoff(time.Second, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for k := range keys {
			if last[k] != n-keys+k {
				t.Errorf("key %d ended at %d", k, last[k])
			}
		}
	})
}

func TestProcessGoesOnWithOtherKeysWhileOneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		failed := false
		c := newConsumer(t, count(t, 10), consumer.StopAtTail())
		err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
			if m.Value == 0 && !failed {
				failed = true
				return consumer.RetryAfter(time.Minute, errBroken)
			}
			j.note(m.Value)
			return nil
		}, c.KeyBy(func(v int) string { return fmt.Sprint(v % 2) }))
		if err != nil || fmt.Sprint(j.all) != "[1 3 5 7 9 0 2 4 6 8]" {
			t.Errorf("%v, %v", j.all, err)
		}
	})
}

func TestProcessRetriesAndThenGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &letters{}
		tries := map[int]int{}
		began := time.Now()
		c := newConsumer(t, count(t, 4), consumer.StopAtTail(), consumer.DeadLetters(dead), consumer.Checkpoint(checkpoint.NewMemory(), "orders/billing"))
		err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
			tries[m.Value]++
			switch m.Value {
			case 1: // keeps failing
				return errBroken
			case 2:
				return consumer.Permanent(errBroken)
			case 3:
				panic("no")
			}
			return nil
		}, consumer.Retries(2), consumer.RetryBackoff(time.Second, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(tries) != "map[0:1 1:3 2:1 3:3]" || fmt.Sprint(dead.values()) != "[1 2 3]" {
			t.Errorf("attempts %v, dead letters %v", tries, dead.values())
		}
		if d := time.Since(began); d < 1500*time.Millisecond || d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		for _, d := range dead.got {
			want := map[string]int{"1": 3, "2": 1, "3": 3}[string(d.Value)]
			if d.Attempts != want || d.Consumer != "orders/billing" || d.Offset == "" || d.Time.IsZero() || d.Cause == "" {
				t.Errorf("letter %+v", d)
			}
			if string(d.Value) == "3" && !strings.Contains(d.Cause, "process_test.go") {
				t.Errorf("the cause does not say where the panic came from: %s", d.Cause)
			}
		}
		if s := c.Stats(); s.DeadLetters != 3 || s.Done != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// Without dead letters nothing is dropped: the loop stops, and the next one begins with the record.
func TestProcessStopsAtARecordThatNothingTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(t, count(t, 10), consumer.StopAtTail())
		mended := false
		var j journal
		handle := func(_ context.Context, m consumer.Message[int]) error {
			if m.Value == 3 && !mended {
				return errBroken
			}
			j.note(m.Value)
			return nil
		}
		err := c.Process(t.Context(), handle, consumer.Retries(1))
		var stopped *consumer.ProcessError
		if !errors.As(err, &stopped) || !errors.Is(err, errBroken) || stopped.Attempts != 2 || stopped.Record.Offset == "" {
			t.Fatalf("%v", err)
		}
		mended = true
		begun := len(j.all)
		if err := c.Process(t.Context(), handle, consumer.Retries(1)); err != nil {
			t.Fatal(err)
		}
		if rest := j.all[begun:]; fmt.Sprint(rest) != "[3]" {
			t.Errorf("then %v; the records behind it were done before", rest)
		}
	})
}

func TestProcessStopsWhenALetterIsNotTaken(t *testing.T) {
	dead := &letters{err: errors.New("no room")}
	c := newConsumer(t, count(t, 10), consumer.StopAtTail(), consumer.DeadLetters(dead))
	err := c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return consumer.Permanent(errBroken) })
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v", err)
	}
	if s := c.Stats(); s.Done != 0 {
		t.Errorf("%d records are done", s.Done)
	}
}

// On shutdown running handlers finish, and waiting records do not begin.
func TestProcessDrainsOnShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := checkpoint.NewMemory()
		c := newConsumer(t, count(t, 100), consumer.Checkpoint(store, "k"), consumer.DrainTimeout(time.Minute))
		var begun, ended journal
		var n atomic.Int64
		err := c.Process(ctx, func(hctx context.Context, m consumer.Message[int]) error {
			begun.note(m.Value)
			if n.Add(1) == 4 { // all four handlers run, whichever was the last to begin
				cancel()
			}
			select {
			case <-time.After(10 * time.Second):
			case <-hctx.Done():
				return hctx.Err()
			}
			ended.note(m.Value)
			return nil
		}, consumer.Concurrency(4))
		if !errors.Is(err, context.Canceled) || len(begun.all) != 4 || len(ended.all) != 4 {
			t.Errorf("%v; begun %v, ended %v", err, begun.all, ended.all)
		}
		if s := c.Stats(); s.Done != 4 {
			t.Errorf("%d done", s.Done)
		}
		if cp, err := store.Load(t.Context(), "k"); err != nil || cp.Offset != c.Stats().Position {
			t.Errorf("%v, %v", cp, err)
		}
	})
}

// The end of ctx is neither a failure nor an attempt, and a handler that never returns does not hold up the shutdown for ever.
func TestProcessLeavesAHandlerThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		dead := &letters{}
		ctx, cancel := context.WithCancel(t.Context())
		c := newConsumer(t, count(t, 3), consumer.DrainTimeout(time.Second), consumer.DeadLetters(dead),
			consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		release := make(chan struct{})
		began := time.Now()
		err := c.Process(ctx, func(hctx context.Context, m consumer.Message[int]) error {
			switch m.Value {
			case 0:
				cancel()
				<-release // heeds no ctx
				return nil
			case 1:
				<-hctx.Done()
				return hctx.Err()
			}
			return nil
		}, consumer.Concurrency(2), consumer.AttemptTimeout(time.Hour), consumer.Retries(0))
		if !errors.Is(err, context.Canceled) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if len(dead.got) != 0 || c.Stats().Done != 0 || !strings.Contains(log.String(), "handlers still run") {
			t.Errorf("dead letters %v, %d done, log %s", dead.got, c.Stats().Done, log.String())
		}
		close(release)
	})
}

func TestAttemptTimeoutEndsTheCtxAndNamesTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		tries := 0
		c := newConsumer(t, count(t, 1), consumer.StopAtTail(), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		err := c.Process(t.Context(), func(ctx context.Context, _ consumer.Message[int]) error {
			if tries++; tries == 1 {
				<-time.After(10 * time.Second)
				return ctx.Err()
			}
			return nil
		}, consumer.AttemptTimeout(time.Second))
		if err != nil || tries != 2 || !strings.Contains(log.String(), "goes on although its ctx has ended") || !strings.Contains(log.String(), "offset=") {
			t.Errorf("%v after %d attempts, log %s", err, tries, log.String())
		}
	})
}

func TestProcessSpreadsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(t, count(t, 101), consumer.StopAtTail())
		began := time.Now()
		err := c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return nil },
			consumer.Concurrency(8), consumer.RateLimit(10))
		if took := time.Since(began); err != nil || took != 10*time.Second {
			t.Errorf("101 attempts at 10 a second took %v, %v", took, err)
		}
	})
}

func TestMiddlewareRunsOnceAnAttemptFromTheOutside(t *testing.T) {
	var calls []string
	wrap := func(name string) func(consumer.Handler[int]) consumer.Handler[int] {
		return func(h consumer.Handler[int]) consumer.Handler[int] {
			return func(ctx context.Context, m consumer.Message[int]) error {
				calls = append(calls, name)
				return h(ctx, m)
			}
		}
	}
	c := newConsumer(t, count(t, 1), consumer.StopAtTail())
	err := c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return nil },
		consumer.Use(wrap("outer")), consumer.Use(wrap("inner")))
	if err != nil || fmt.Sprint(calls) != "[outer inner]" {
		t.Errorf("%v, %v", calls, err)
	}
}

func TestPanicOfAKeyGivesUpTheRecord(t *testing.T) {
	dead := &letters{}
	c := newConsumer(t, count(t, 5), consumer.StopAtTail(), consumer.DeadLetters(dead))
	var j journal
	err := c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error { j.note(m.Value); return nil },
		c.KeyBy(func(v int) string {
			if v == 2 {
				panic("no key")
			}
			return ""
		}))
	if err != nil || fmt.Sprint(j.all) != "[0 1 3 4]" || fmt.Sprint(dead.values()) != "[2]" || !strings.Contains(dead.got[0].Cause, "no key") {
		t.Errorf("%v, %v, %v", j.all, dead.values(), err)
	}
}

func TestPanicOfAKeyNamesTheRecord(t *testing.T) {
	src := count(t, 5)
	c := newConsumer(t, src, consumer.StopAtTail())
	err := c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return nil }, c.KeyBy(func(v int) string {
		if v == 2 {
			panic("no key")
		}
		return ""
	}))
	var panicked *consumer.PanicError
	at := src.Records()[2].Offset
	if !errors.As(err, &panicked) || !strings.Contains(err.Error(), string(at)) || !strings.Contains(err.Error(), "KeyBy") {
		t.Errorf("%v does not name %q", err, at)
	}
}

func TestProcessOptionsAreChecked(t *testing.T) {
	c := newConsumer(t, count(t, 1), consumer.StopAtTail())
	other, err := consumer.New(count(t, 1), codec.String())
	if err != nil {
		t.Fatal(err)
	}
	handle := func(context.Context, consumer.Message[int]) error { return nil }
	for name, opt := range map[string]consumer.ProcessOption{
		"Concurrency": consumer.Concurrency(0), "Retries": consumer.Retries(-1), "RetryBackoff": consumer.RetryBackoff(2, 1),
		"AttemptTimeout": consumer.AttemptTimeout(-1), "RateLimit": consumer.RateLimit(0), "RateLimit(1e-20)": consumer.RateLimit(1e-20), "KeyBy": other.KeyBy(func(s string) string { return s }),
		"Use": consumer.Use[int](nil), "option of Process is nil": nil,
	} {
		err := c.Process(t.Context(), handle, opt)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that names the option", name, err)
		}
	}
	if err := c.Process(t.Context(), nil); err == nil {
		t.Error("a nil handler")
	}
}

func BenchmarkProcess(b *testing.B) {
	src := filled(b, benchRecords)
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c, err := consumer.New(src, codec.Bytes(), consumer.StopAtTail())
				if err != nil {
					b.Fatal(err)
				}
				err = c.Process(b.Context(), func(context.Context, consumer.Message[[]byte]) error { return nil }, consumer.Concurrency(workers))
				if err != nil {
					b.Fatal(err)
				}
				n += benchRecords
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}

// A process may run a consumer for each of many streams, so a line of the log that names no key tells nothing.
func TestEachLineOfTheLogNamesTheKeyOfTheCheckpointOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		store := newSpy()
		c := newConsumer(t, count(t, 3), consumer.StopAtTail(), consumer.DeadLetters(&letters{}),
			consumer.Checkpoint(store, key), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		store.failing(fmt.Errorf("down: %w", backend.ErrTransient))
		time.AfterFunc(time.Hour, func() { store.failing(nil) })
		err := c.Process(t.Context(), func(context.Context, consumer.Message[int]) error { return errDisk }, consumer.Retries(1))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(log.String()) {
			if strings.Count(line, "key="+key) != 1 {
				t.Errorf("want the key once: %s", line)
			}
		}
		for _, want := range []string{"tried again", "dead letter", "could save the checkpoint again"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no line with %q in\n%s", want, log.String())
			}
		}
	})
}

func TestProcessErrorCountsItsAttempts(t *testing.T) {
	for n, want := range map[int]string{1: "after 1 attempt: declined", 3: "after 3 attempts: declined"} {
		if err := (&consumer.ProcessError{Attempts: n, Err: errors.New("declined")}).Error(); !strings.HasSuffix(err, want) {
			t.Errorf("%s, want %q at the end", err, want)
		}
	}
}
