package s2_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// TestSoak writes and reads one stream for as long as HEADRACE_SOAK says (2 s without it) while something breaks at
// random several times a second. The records are numbered: with Exclusive every number must be in the stream once, in
// order, and everything that was acknowledged must be there.
func TestSoak(t *testing.T) {
	t.Parallel()
	length := 2 * time.Second
	if s := os.Getenv("HEADRACE_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Retain(512<<20))
	b := dial(t, srv).Basin(basinName)
	stream := b.Stream(streamName(), s2.Exclusive())
	p, err := producer.New(t.Context(), stream, codec.Bytes(), producer.DrainTimeout(2*time.Minute)) // up to 32 MiB wait, on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(stream, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	broken := make(chan int, 1)
	go func() { broken <- breakThings(ctx, srv) }()

	// The server keeps the newest 512 MiB, so the writer stays within two million records of the reader.
	var at atomic.Uint64
	moved := make(chan struct{}, 1)
	gone := make(chan struct{})

	read := make(chan uint64, 1)
	total := make(chan uint64, 1)
	following, done := context.WithCancel(t.Context())
	defer done()
	go func() {
		next, end := uint64(0), uint64(1)<<63
		defer func() { close(gone); read <- next }()
		for m, err := range c.Messages(following) {
			if err != nil {
				t.Errorf("read: behind record %d: %v", next, err)
				return
			}
			if got := binary.BigEndian.Uint64(m.Value); got != next {
				t.Errorf("record %d came where %d was next", got, next)
				return
			}
			next++
			if next%1000 == 0 {
				at.Store(next)
				select {
				case moved <- struct{}{}:
				default:
				}
			}
			select {
			case end = <-total:
			default:
			}
			if next >= end {
				return
			}
		}
	}()

	value := make([]byte, 100)
	sent, last := uint64(0), time.Now()
	for ctx.Err() == nil {
		binary.BigEndian.PutUint64(value, sent)
		if _, err := p.Enqueue(t.Context(), value); err != nil {
			t.Fatalf("record %d: %v", sent, err)
		}
		sent++
		for sent > at.Load()+2_000_000 && !t.Failed() {
			select {
			case <-moved:
			case <-gone:
			}
		}
		if sent%100_000 == 0 && time.Since(last) > length/10 {
			last = time.Now()
			t.Logf("%d records sent, %d acknowledged, heap %d MiB", sent, p.Stats().Acked, heapMiB())
		}
	}
	binary.BigEndian.PutUint64(value, sent) // one more, so that the reader sees the end when it knows the total
	total <- sent + 1
	if _, err := p.Enqueue(t.Context(), value); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n := <-read; n != sent+1 {
		t.Errorf("%d records read, %d sent", n, sent+1)
	}
	st := p.Stats()
	if t.Failed() {
		return
	}
	t.Logf("%d records in %v: all acknowledged and read once, in order; %d breaks, %d sessions, %d of %d batches sent again; heap %d MiB",
		sent+1, length, <-broken, st.Sessions, st.Resent, st.Batches, heapMiB())
}

func heapMiB() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// breakThings injects a fault about four times a second until ctx ends.
func breakThings(ctx context.Context, srv *s2test.Server) (n int) {
	sessions := s2test.AppendSession | s2test.ReadSession
	faults := []s2test.Fault{
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Drop()}, // stored, the ack is lost
		{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Drop()}, // not stored
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.End()},  // a clean end with appends unacknowledged
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Reset()},
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Status(503, "unavailable")},
		{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.Drop()},
		{Op: s2test.ReadSession, Do: s2test.CutAfter(100_000)},
		{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.End()},
		{Op: sessions, Stage: s2test.Replying, Do: s2test.GoAway()},
		{Op: sessions, Stage: s2test.Replying, Do: s2test.Delay(20 * time.Millisecond)},
	}
	var last *s2test.Injection
	for {
		pause := time.NewTimer(200*time.Millisecond + rand.N(100*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return n
		}
		n++
		if last != nil {
			last.Remove() // or those that nothing came by would strike one after the other, a session each
		}
		if i := rand.IntN(len(faults) + 1); i < len(faults) {
			last = srv.Inject(faults[i])
		} else {
			srv.DropConnections()
		}
	}
}
