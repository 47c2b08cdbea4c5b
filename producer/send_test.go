package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

func TestSendIsDurableWhenItReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, producer.Linger(time.Hour))
		began := time.Now()
		if err := p.Send(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		wantLog(t, s, "a", "b")
		if err := p.Send(t.Context()); err != nil {
			t.Errorf("Send of nothing: %v", err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("a lone Send took %v, want no linger", d)
		}
		closeNow(t, p)
	})
}

func TestReceiptTellsWhereTheRecordIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s)
		rs := enqueue(t, p, "a", "b", "c")
		for i, r := range rs {
			for range 2 { // as often as you like
				off, err := wait(t, r)
				if err != nil || off != s.Records()[i].Offset {
					t.Errorf("record %d: %q, %v, want %q", i, off, err, s.Records()[i].Offset)
				}
			}
			select {
			case <-r.Done():
			default:
				t.Error("Done is open after Wait")
			}
		}
		closeNow(t, p)
	})
}

func TestABatchThatSomeoneWaitsForDoesNotLinger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, memory.New(), producer.Linger(time.Hour))
		began := time.Now()
		if _, err := enqueue(t, p, "waited for")[0].Wait(t.Context()); err != nil {
			t.Error(err)
		}
		<-enqueue(t, p, "selected on")[0].Done()
		if err := p.Send(t.Context(), "sent"); err != nil {
			t.Error(err)
		}
		enqueue(t, p, "flushed")
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("took %v of an hour's linger", d)
		}
		closeNow(t, p)
	})
}

func TestZeroReceipt(t *testing.T) {
	var r producer.Receipt
	if _, err := r.Wait(t.Context()); err == nil {
		t.Error("Wait on a zero Receipt succeeded")
	}
	<-r.Done()
	cause := errors.New("no")
	if off, err := producer.Resolved("7", nil).Wait(t.Context()); off != "7" || err != nil {
		t.Errorf("Resolved(7, nil): %q, %v", off, err)
	}
	if _, err := producer.Resolved("", cause).Wait(t.Context()); err != cause {
		t.Errorf("Resolved with an error: %v", err)
	}
}

func TestReceiptWaitEndsWithItsContextAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnAck, 1, backendtest.Delay(time.Second))))
		r := enqueue(t, p, "a")[0]
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("Wait: %v, want the context's error alone", err)
		}
		if _, err := wait(t, r); err != nil {
			t.Errorf("asked again: %v", err)
		}
		closeNow(t, p)
	})
}

func TestSendCutByContextAfterAcceptance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnSend, 1, backendtest.Delay(time.Second))))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := p.Send(ctx, "a")
		if !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v, want ErrIndeterminate and the context's error", err)
		}
		closeNow(t, p)
		wantLog(t, s, "a") // it was accepted, so it is sent all the same
	})
}

func TestACancelledContextAcceptsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Enqueue(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("Enqueue: %v", err)
		}
		if err := p.Send(ctx, "a"); !errors.Is(err, context.Canceled) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Send: %v, want the context's error and nothing indeterminate", err)
		}
		closeNow(t, p)
		wantLog(t, s)
	})
}

func TestUnencodableValueIsRefusedAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s)
		if err := p.Send(t.Context(), "a", "unencodable", "b"); err == nil || !strings.Contains(err.Error(), "value 2 of 3") {
			t.Errorf("Send: %v, want an error that names value 2 of 3", err)
		}
		enqueue(t, p, "c")
		if _, err := p.Enqueue(t.Context(), "unencodable"); err == nil {
			t.Error("Enqueue accepted it")
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("Flush: %v: what was refused at the door is nobody else's failure", err)
		}
		wantLog(t, s, "c")
		closeNow(t, p)
	})
}

func TestOversizedRecordIsTooLargeAndNamesTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New(memory.RecordBytes(10), memory.BatchBytes(100))
		p := open(t, s)
		enqueue(t, p, "before")
		_, err := p.Enqueue(t.Context(), strings.Repeat("x", 11))
		if !errors.Is(err, backend.ErrTooLarge) || !strings.Contains(err.Error(), "11 bytes") || !strings.Contains(err.Error(), "RecordBytes is 10") {
			t.Errorf("Enqueue: %v, want ErrTooLarge with size and limit", err)
		}
		if err := p.Send(t.Context(), "after", strings.Repeat("x", 11)); !errors.Is(err, backend.ErrTooLarge) {
			t.Errorf("Send: %v", err)
		}
		enqueue(t, p, strings.Repeat("y", 10))
		closeNow(t, p)
		wantLog(t, s, "before", strings.Repeat("y", 10))
	})
}

func TestRecordLargerThanTheBudgetIsTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, memory.New(), producer.BufferBytes(1000))
		if _, err := p.Enqueue(t.Context(), strings.Repeat("x", 1001)); !errors.Is(err, backend.ErrTooLarge) {
			t.Errorf("Enqueue: %v, want ErrTooLarge", err)
		}
		closeNow(t, p)
	})
}

func TestHeadersAndTimeTravelAndAreCopied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s)
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		value := []byte("v1")
		headers := backend.Headers{{Name: "trace", Value: value}, {Name: "n", Value: nil}}
		for range 20 { // more than the header memory of a batch begins with
			_, err := p.EnqueueRecord(t.Context(), producer.Record[string]{Value: "a", Headers: headers, Time: at})
			if err != nil {
				t.Fatal(err)
			}
		}
		copy(value, "xx")
		headers[0].Name = "changed"
		closeNow(t, p)
		for i, r := range s.Records() {
			if v, ok := r.Headers.Lookup("trace"); !ok || string(v) != "v1" || len(r.Headers) != 2 || !r.Time.Equal(at) {
				t.Fatalf("record %d: headers %v, time %v", i, r.Headers, r.Time)
			}
		}
	})
}

func TestCallersMayReuseTheirBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, producer.Linger(time.Hour))
		buf := make([]byte, 1)
		for i := range 26 {
			buf[0] = 'a' + byte(i)
			if _, err := p.EnqueueEncoded(t.Context(), backend.Record{Value: buf}); err != nil {
				t.Fatal(err)
			}
		}
		closeNow(t, p)
		if got := strings.Join(values(s), ""); got != "abcdefghijklmnopqrstuvwxyz" {
			t.Errorf("stored %q", got)
		}
	})
}

// An error tells where it comes from, and whether something was accepted.
func TestSendSaysHowManyValuesWereAccepted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnAck, 1, backendtest.Stall()))
		p := open(t, sink, producer.BufferBytes(400), producer.AckTimeout(0), producer.DrainTimeout(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, want := range []string{"only the first 3 of 4 values were accepted", "nothing was accepted"} {
			err := p.Send(ctx, "a", "b", "c", "d")
			if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "producer: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
		}
		_ = p.Close() // records are left
	})
}

func TestSendNamesEveryValueThatFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.RefuseUnnamed(bad, backend.ErrRejected)))
		err := p.Send(t.Context(), "a", "bad", "b", "bad", "c")
		var failed *producer.SendError
		if !errors.As(err, &failed) || failed.Values != 5 || len(failed.Failed) != 2 ||
			failed.Failed[0].Index != 1 || failed.Failed[1].Index != 3 {
			t.Fatalf("Send: %#v, want the failures of values 1 and 3", err)
		}
		if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Send: %v, want ErrRejected", err)
		}
		if text := err.Error(); !strings.Contains(text, "2 of 5 values failed, the others are stored") || !strings.Contains(text, "value 4") {
			t.Errorf("the text is %q", text)
		}
		_ = p.Close()
		wantLog(t, s, "a", "b", "c")
	})
}

func TestSendDoesNotCallValuesStoredThatAStoppedProducerHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fatal := errors.New("out of paper")
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s,
			backendtest.Nth(backendtest.OnSend, 1, backendtest.Refuse(backend.ErrRejected)),
			backendtest.Nth(backendtest.OnSend, 3, backendtest.DropBefore(fatal))), producer.BatchRecords(2))
		err := p.Send(t.Context(), "0", "1", "2", "3")
		var failed *producer.SendError
		if !errors.As(err, &failed) || len(failed.Failed)+len(values(s)) != failed.Values {
			t.Errorf("Send: %v; %q are stored", err, values(s))
		}
		_ = p.Close()
	})
}
