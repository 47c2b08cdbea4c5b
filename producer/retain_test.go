package producer_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func openBytes(t *testing.T, sink backend.Sink, opts ...producer.Option) *producer.Producer[[]byte] {
	t.Helper()
	p, err := producer.New(t.Context(), sink, codec.Bytes(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// push makes a batch of what was enqueued and does not wait for it.
func push[T any](t *testing.T, p *producer.Producer[T]) {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Flush(over)
}

// A batch of 1 MiB must not make each small one after it, while the store is silent, as large.
func TestSmallBatchesAfterALargeOneHoldLittle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(backendtest.Discard(backend.Limits{}), backendtest.Nth(backendtest.OnAck, 2, backendtest.Stall()))
		p := openBytes(t, sink, producer.DrainTimeout(0), producer.AckTimeout(0))
		if err := p.Send(t.Context(), make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		before := heap()
		for range 1000 {
			if _, err := p.TryEnqueue(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			push(t, p)
		}
		synctest.Wait()
		if held := int(heap()) - int(before); held > 8<<20 {
			t.Errorf("%.1f MiB held for %d records of 100 bytes", float64(held)/(1<<20), p.Stats().Buffered)
		}
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
	})
}

// Where nothing lingers, each record is a batch of its own, which weighs more than a small record.
func TestABufferOfLoneRecordsIsNoLarger(t *testing.T) {
	const budget = 8 << 20
	named := backend.Headers{{Name: "n", Value: []byte("v")}}
	for name, r := range map[string]producer.Record[[]byte]{
		"no bytes":             {},
		"100 bytes":            {Value: make([]byte, 100)},
		"1,000 bytes":          {Value: make([]byte, 1000)},
		"a time and a header":  {Time: time.Unix(1, 0), Headers: named},
		"100 bytes and a time": {Value: make([]byte, 100), Time: time.Unix(1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sink := newGated()
				p := openBytes(t, sink, producer.BufferBytes(budget), producer.Linger(0), producer.AckTimeout(0), producer.DrainTimeout(0))
				before := heap()
				for {
					_, err := p.TryEnqueueRecord(r)
					if errors.Is(err, producer.ErrFull) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					synctest.Wait() // sent
				}
				sink.sent = nil
				if s := p.Stats(); s.InFlight != s.Buffered || s.BufferedBytes < budget/2 {
					t.Errorf("%+v, want a buffer full of batches of one", s)
				}
				held := float64(heap()-before) / budget
				t.Logf("%.2f of the buffer held", held)
				if !race && held > 1.2 { // the race detector needs memory of its own
					t.Errorf("%.2f of the buffer held", held)
				}
				if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// While there is work the memory of a decided batch serves the next one; when there is none, the garbage collector has it.
func TestMemoryIsReusedWhileBusyAndLetGoWhenIdle(t *testing.T) {
	const (
		budget  = 16 << 20
		records = 10_000 // a batch, by its default
		size    = 100
		rounds  = 40
	)
	// The memory of decided batches is in a sync.Pool. While batches are counted the garbage collector is off, because it empties
	// the pool at any time. One processor, because a goroutine that moves to another one does not find all that the pool holds.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	bubble(t, func(t *testing.T) {
		sink := newGated()
		p := openBytes(t, sink, producer.BufferBytes(budget), producer.AckTimeout(0))
		value := make([]byte, size)
		batch := func() (last producer.Receipt) {
			t.Helper()
			for range records {
				r, err := p.TryEnqueue(value)
				if err != nil {
					t.Fatal(err)
				}
				last = r
			}
			return last
		}
		before := heap()
		// Six batches are always on their way: more than half the buffer.
		var pending []producer.Receipt
		seq := uint64(0)
		ack := func() {
			t.Helper()
			sink.acks <- seq
			seq++
			if _, err := pending[0].Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			pending = pending[1:]
		}
		turn := func() {
			pending = append(pending, batch())
			synctest.Wait() // sent
			sink.sent = sink.sent[:0]
			if len(pending) > 6 {
				ack()
			}
		}
		for range 10 {
			turn()
		}
		collect := debug.SetGCPercent(-1)
		var a, b runtime.MemStats
		runtime.ReadMemStats(&a)
		for range rounds {
			turn()
		}
		runtime.ReadMemStats(&b)
		debug.SetGCPercent(collect)
		if each := int(b.TotalAlloc-a.TotalAlloc) / rounds; !race && each > records*size/10 {
			t.Errorf("%d bytes allocated for each batch of %d bytes, want its memory reused", each, records*size)
		}
		for len(pending) > 0 {
			ack()
		}
		synctest.Wait()
		sink.sent = nil
		if held := int(heap()) - int(before); held > 1<<20 {
			t.Errorf("an idle producer retains %.1f MiB", float64(held)/(1<<20))
		}
		if s := p.Stats(); s.Batches != rounds+10 || s.Buffered != 0 || s.BufferedBytes != 0 {
			t.Errorf("%+v, want %d batches and nothing held", s, rounds+10)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A burst of tiny records leaves memory for records, one of large records memory for bytes. A producer that is never idle
// between them must not add the one to the other beyond its bound.
func TestBurstsOfDifferentSizesStayWithinAboutTwiceTheBuffer(t *testing.T) {
	const budget = 8 << 20
	bubble(t, func(t *testing.T) {
		sink := newGated()
		p := openBytes(t, sink, producer.BufferBytes(budget), producer.AckTimeout(0), producer.DrainTimeout(0))
		before := heap()
		seq := uint64(0)
		for i := range 10 {
			value := make([]byte, 1+i%2*(64<<10-1)) // 1 byte, 64 KiB
			for {
				if _, err := p.TryEnqueue(value); errors.Is(err, producer.ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			push(t, p)
			synctest.Wait()
			sink.sent = nil
			// Three quarters more for what growing memory leaves behind: it weighs much in a buffer of eight batches.
			if held := int(heap()) - int(before); held > 2*budget+3*budget/4 {
				t.Errorf("burst %d: %.1f MiB held, twice the buffer is 16 MiB", i, float64(held)/(1<<20))
			}
			if seq = p.Stats().Batches - 2; p.Stats().InFlight > 1 { // all but one
				sink.acks <- seq
				synctest.Wait()
			}
		}
		_ = p.Close() // one is never acknowledged
	})
}

// A call's memory serves the next call. Nothing of the record before may be in the next one, whatever became of it.
func TestNothingOfARecordLeaksIntoTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := newGated()
		p := open(t, sink, producer.BufferBytes(1<<20))
		full := producer.Record[string]{
			Value: "dated", Time: time.Unix(1, 0), Headers: backend.Headers{{Name: "k", Value: []byte("v")}},
		}
		huge := full
		huge.Value = string(make([]byte, 2<<20))
		bad := full
		bad.Value = "unencodable"
		for range 50 {
			if _, err := p.EnqueueRecord(t.Context(), full); err != nil {
				t.Fatal(err)
			}
			if _, err := p.EnqueueEncoded(t.Context(), backend.Record{
				Value: []byte("read before"), Time: full.Time, Headers: full.Headers, Offset: "7", Next: "8",
			}); err != nil {
				t.Fatal(err)
			}
			for _, refused := range []producer.Record[string]{huge, bad} {
				if _, err := p.EnqueueRecord(t.Context(), refused); err == nil {
					t.Fatal("a record that cannot be sent was accepted")
				}
			}
			enqueue(t, p, "plain")
			sent := make(chan error)
			go func() { sent <- p.Send(t.Context(), "plain", "plain") }()
			synctest.Wait()
			push(t, p)
			synctest.Wait()
			sink.acks <- p.Stats().Acked / 5
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range sink.sent {
			if r.Offset != "" || r.Next != "" {
				t.Errorf("record %d was sent with a place: %q, %q", i, r.Offset, r.Next)
			}
			if plain := i%5 >= 2; plain && (!r.Time.IsZero() || len(r.Headers) > 0) || !plain && (r.Time != full.Time || len(r.Headers) != 1) {
				t.Errorf("record %d: time %v, headers %q", i, r.Time, r.Headers)
			}
		}
		if n := len(sink.sent); n != 250 {
			t.Errorf("%d records were sent, want 250", n)
		}
		closeNow(t, p)
	})
}
