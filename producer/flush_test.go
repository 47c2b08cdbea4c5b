package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// slowRefusing is a store that takes a second for each batch and refuses bad records.
func slowRefusing() backend.Sink {
	slow := func(c backendtest.Call) backendtest.Effect {
		if c.Op == backendtest.OnSend {
			return backendtest.Delay(time.Second)
		}
		return backendtest.Effect{}
	}
	return backendtest.NewFlakySink(memory.New(), slow, backendtest.RefuseUnnamed(bad, backend.ErrRejected))
}

func TestEveryFlushThatCoversAFailureReturnsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, slowRefusing(), oneEach)
		enqueue(t, p, "good", "bad")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrRejected) {
					t.Errorf("one of several flushes: %v, want the refusal", err)
				}
			})
		}
		wg.Wait()
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("a flush that began after the failure was returned: %v", err)
		}
		enqueue(t, p, "bad", "good", "bad")
		for range 3 {
			wg.Go(func() {
				if err := p.Close(); !errors.Is(err, backend.ErrRejected) {
					t.Errorf("one of several closes: %v, want the refusal", err)
				}
			})
		}
		wg.Wait()
		if err := p.Close(); err != nil {
			t.Errorf("a close after the failure was returned: %v", err)
		}
	})
}

// A flush that returned a failure of a later record would leave nothing for whoever sent that record.
func TestAFlushLeavesTheFailuresOfLaterRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, slowRefusing(), oneEach)
		enqueue(t, p, "good")
		first := make(chan error)
		go func() { first <- p.Flush(t.Context()) }()
		synctest.Wait()
		enqueue(t, p, "bad", "good", "bad")
		if err := <-first; err != nil {
			t.Errorf("the flush before the refused records: %v", err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "2 records") {
			t.Errorf("the flush behind the refused records: %v, want the refusal of both", err)
		}
		closeNow(t, p)
	})
}

func TestAFlushThatItsContextEndsLeavesTheFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, slowRefusing(), oneEach)
		enqueue(t, p, "bad", "good", "good", "good")
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a flush of 2.5 s: %v", err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("the next flush: %v, want the refusal", err)
		}
		closeNow(t, p)
	})
}

// Whoever never flushes must not pay for every record that was refused.
func TestFailuresThatNobodyFlushesTakeNoMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.RefuseUnnamed(bad, backend.ErrRejected))
		p := open(t, sink, oneEach, producer.Linger(0))
		for range 100 {
			_ = p.Send(t.Context(), "bad")
		}
		before := heap()
		for range 1000 {
			_ = p.Send(t.Context(), "bad")
		}
		if held := int(heap()) - int(before); held > 100<<10 {
			t.Errorf("%d bytes held for 1000 records refused", held)
		}
		err := p.Close()
		if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "1100 records refused") {
			t.Errorf("close: %v, want how many there were", err)
		}
	})
}
