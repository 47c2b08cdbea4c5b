package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/batcher"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// sizes observes how many records each batch held, and why it was ended.
type sizes struct {
	mu     sync.Mutex
	counts []int
	causes []batcher.Cause
}

func (s *sizes) hook() producer.Option {
	return producer.Observe(producer.Hooks{BatchSent: func(ev producer.BatchEvent) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.counts = append(s.counts, ev.Records)
		s.causes = append(s.causes, ev.Cause)
	}})
}

func (s *sizes) want(t *testing.T, counts []int, causes ...batcher.Cause) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.counts, counts) || !slices.Equal(s.causes, causes) {
		t.Errorf("batches of %v (%v), want %v (%v)", s.counts, s.causes, counts, causes)
	}
}

func TestWhyBatchesEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen sizes
		p := open(t, memory.New(), producer.BatchRecords(3), producer.Linger(time.Second), seen.hook())
		enqueue(t, p, numbered(4)...)
		<-time.After(2 * time.Second)
		enqueue(t, p, "4")
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := p.Send(t.Context(), "5"); err != nil {
			t.Error(err)
		}
		enqueue(t, p, "6")
		closeNow(t, p)
		seen.want(t, []int{3, 1, 1, 1, 1}, batcher.CauseFull, batcher.CauseLinger, batcher.CauseFlush, batcher.CauseWanted, batcher.CauseClose)
	})
}

func TestTheStoresLimitsBoundBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen sizes
		p := open(t, memory.New(memory.BatchRecords(2), memory.BatchBytes(10)), producer.Linger(time.Hour), seen.hook())
		enqueue(t, p, "a", "b", "123456", "123456", "c")
		closeNow(t, p)
		seen.want(t, []int{2, 1, 2}, batcher.CauseFull, batcher.CauseFull, batcher.CauseFull)
	})
}

func TestConcurrentSendersShareBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen sizes
		slow := func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnAck {
				return backendtest.Delay(10 * time.Millisecond)
			}
			return backendtest.Effect{}
		}
		p := open(t, backendtest.NewFlakySink(memory.New(), slow), producer.Linger(time.Hour), seen.hook())
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := p.Send(t.Context(), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d > 20*time.Millisecond {
			t.Errorf("50 senders took %v, want two round trips of 10ms and no linger", d)
		}
		if n := len(seen.counts); n > 2 {
			t.Errorf("%d batches, want 2: one for the first, one shared by the others", n)
		}
		closeNow(t, p)
	})
}

func TestAFullBufferBlocksOnlyWithinTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnAck, 1, backendtest.Delay(10*time.Second)))
		p := open(t, sink, producer.BufferBytes(300))
		enqueue(t, p, strings.Repeat("x", 150))
		if _, err := p.TryEnqueue(strings.Repeat("y", 150)); !errors.Is(err, producer.ErrFull) {
			t.Errorf("TryEnqueue: %v, want ErrFull", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Enqueue(ctx, strings.Repeat("y", 150))
		if !errors.Is(err, producer.ErrFull) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Enqueue: %v, want ErrFull and the context's error", err)
		}
		if _, err := p.Enqueue(t.Context(), strings.Repeat("z", 150)); err != nil { // blocks for the ack
			t.Error(err)
		}
		closeNow(t, p)
		wantLog(t, s, strings.Repeat("x", 150), strings.Repeat("z", 150))
	})
}

func TestInFlightIsBoundedAndWhatWasHeldUpGoesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnAck {
				return backendtest.Delay(time.Second)
			}
			return backendtest.Effect{}
		}
		var seen sizes
		p := open(t, backendtest.NewFlakySink(memory.New(memory.InFlight(2)), slow),
			producer.BatchRecords(2), producer.Linger(time.Hour), seen.hook())
		began := time.Now()
		rs := enqueue(t, p, numbered(5)...)
		synctest.Wait()
		if n := p.Stats().InFlight; n != 2 {
			t.Errorf("%d batches in flight, want 2", n)
		}
		if _, err := rs[4].Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("took %v, want two round trips and no linger behind a full window", d)
		}
		closeNow(t, p)
	})
}

func TestNewReportsWhatIsWrongAndRetriesWhatIsTransient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, fatal := range []error{backend.ErrNotFound, backend.ErrUnauthorized, backend.ErrUnsupported, errors.New("odd")} {
			sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnOpen, 1, backendtest.Fail(fatal)))
			if _, err := producer.New(t.Context(), sink, text()); !errors.Is(err, fatal) {
				t.Errorf("New: %v, want %v", err, fatal)
			}
		}
		down := func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnOpen && c.N <= 3 {
				return backendtest.Fail(nil)
			}
			return backendtest.Effect{}
		}
		closeNow(t, open(t, backendtest.NewFlakySink(memory.New(), down)))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		always := backendtest.Every(backendtest.OnOpen, 1, backendtest.Fail(nil))
		_, err := producer.New(ctx, backendtest.NewFlakySink(memory.New(), always), text())
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("New: %v, want the context's error and the last failure", err)
		}

		hangs := backendtest.Every(backendtest.OnOpen, 1, backendtest.Hang())
		sink := backendtest.NewFlakySink(memory.New(), hangs)
		_, err = producer.New(t.Context(), sink, text(), producer.AckTimeout(time.Second))
		if !errors.Is(err, backend.ErrTransient) || sink.Calls(backendtest.OnOpen) < 5 {
			t.Errorf("New on a server that never answers: %v after %d openings", err, sink.Calls(backendtest.OnOpen))
		}
	})
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, opt := range []producer.Option{producer.BatchRecords(0), producer.BatchBytes(-1), producer.BufferBytes(0)} {
		if _, err := producer.New(t.Context(), memory.New(), text(), opt); err == nil {
			t.Error("New took a bound of 0")
		}
	}
	if _, err := producer.New(t.Context(), memory.New(), text(), nil); err == nil || !strings.Contains(err.Error(), "option is nil") {
		t.Errorf("a nil option: %v", err)
	}
}

func TestWrongContentTypeIsRefusedAtOpening(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		closeNow(t, open(t, s))
		if _, err := producer.New(t.Context(), s, codec.Bytes()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("New on a stream of text/plain with application/octet-stream: %v, want ErrRejected", err)
		}
	})
}

func TestLimitsThatShrinkSplitWhatWasBatchedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := &shrinking{Sink: backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnSend, 1, backendtest.Fail(nil)))}
		p := open(t, sink, producer.BatchRecords(10))
		rs := enqueue(t, p, numbered(10)...)
		for i, r := range rs {
			if off, err := wait(t, r); err != nil || off != s.Records()[i].Offset {
				t.Errorf("record %d: %q, %v", i, off, err)
			}
		}
		rs = enqueue(t, p, numbered(10)...)
		if _, err := wait(t, rs[9]); err != nil {
			t.Error(err)
		}
		if sink.largest > 3 {
			t.Errorf("a batch of %d records was sent, the limit had shrunk to 3", sink.largest)
		}
		closeNow(t, p)
	})
}

func TestHooksAndStatsTellWhatHappened(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines []string
		note := func(name string) func(producer.BatchEvent) {
			return func(ev producer.BatchEvent) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("%s seq=%d records=%d bytes=%d attempt=%d err=%v", name, ev.Seq, ev.Records, ev.Bytes, ev.Attempt, ev.Err != nil))
			}
		}
		session := func(name string) func(producer.SessionEvent) {
			return func(ev producer.SessionEvent) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("%s attempt=%d unacked=%d err=%v", name, ev.Attempt, ev.Unacked, ev.Err != nil))
			}
		}
		var logged strings.Builder
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Nth(backendtest.OnSend, 2, backendtest.DropBefore(nil)),
			backendtest.RefuseUnnamed(bad, backend.ErrRejected))
		p := open(t, sink, oneEach, producer.Observe(producer.Hooks{}), producer.Observe(producer.Hooks{
			BatchSent: note("sent"), BatchResent: note("resent"), BatchAcked: note("acked"), BatchFailed: note("failed"),
			SessionOpened: session("opened"), SessionLost: session("lost"),
		}), producer.Logger(slog.New(slog.NewTextHandler(&logged, nil))))
		for _, v := range []string{"one", "three", "bad"} {
			_ = p.Send(t.Context(), v)
			synctest.Wait() // it may return before the hook has heard of the ack
		}
		if s := p.Stats(); s.Acked != 2 || s.Failed != 1 || s.Resent != 1 || s.Batches != 4 || s.Sessions != 2 || s.Buffered != 0 || s.BufferedBytes != 0 || s.InFlight != 0 {
			t.Errorf("stats: %+v", s)
		}
		_ = p.Close()
		want := []string{
			"opened attempt=1 unacked=0 err=false",
			"sent seq=0 records=1 bytes=3 attempt=1 err=false",
			"acked seq=0 records=1 bytes=3 attempt=1 err=false",
			"sent seq=1 records=1 bytes=5 attempt=1 err=false",
			"lost attempt=1 unacked=1 err=true",
			"opened attempt=2 unacked=1 err=false",
			"resent seq=1 records=1 bytes=5 attempt=2 err=false",
			"acked seq=1 records=1 bytes=5 attempt=2 err=false",
			"sent seq=2 records=1 bytes=3 attempt=1 err=false",
			"lost attempt=2 unacked=1 err=true",
			"failed seq=2 records=1 bytes=3 attempt=1 err=true",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("got:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		if !strings.Contains(logged.String(), "session lost") || !strings.Contains(logged.String(), "record refused") {
			t.Errorf("logged:\n%s", logged.String())
		}
	})
}
