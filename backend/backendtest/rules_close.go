package backendtest

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/headrace/headrace/backend"
	"go.uber.org/goleak"
)

// closeSessionTwice: a producer that shuts down while it recovers may close a session from two places.
func closeSessionTwice(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 2, 3)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	e.close("session", s)
	e.close("closed session", s)
	e.wantIs("send after Close", e.trySend(e.Context(), s, 1, b[1]), backend.ErrClosed)
	_, err := e.tryRecv(e.Context(), s)
	e.wantIs("recv after Close", err, backend.ErrClosed)
	e.wantStored(b[0])
	if _, err := e.pump(e.open(a), 1, b[1:]); err != nil {
		e.Fatalf("in the next session: %v", err)
	}
	e.wantStored(b...)
}

// closeEndsRecv: past its deadline a producer closes the session to get its goroutines back.
func closeEndsRecv(e *env) {
	a := e.appender()
	s := e.open(a)
	var err error
	end, _ := e.begin("Recv after Close", func() { _, err = s.Recv(e.Context()) })
	e.close("session", s)
	end()
	e.wantIs("recv", err, backend.ErrClosed)
}

// closeEndsSend sends without receiving: where InFlight is limited, until there is no room; elsewhere until Close.
func closeEndsSend(e *env) {
	const most = 5000 // batches, where nothing limits them
	a := e.appender()
	s := e.open(a)
	recs := e.batches(a, most, 1)
	sent := 0
	var err error
	end, _ := e.begin("Send after Close", func() {
		for ; err == nil && sent < most; sent++ {
			err = s.Send(e.Context(), uint64(sent), recs[sent])
		}
	})
	e.close("session", s)
	if end(); err == nil {
		err = e.trySend(e.Context(), s, most, recs[0])
	}
	e.wantIs("send", err, backend.ErrClosed)

	stored := e.stored()
	e.same("stored, which must be the first of what was sent", stored, flat(recs[:min(len(stored), sent)]))
}

// closeReaderTwice: a consumer that is left in the middle of a loop may close a reader from two places.
func closeReaderTwice(e *env) {
	e.needSource()
	e.fill(3)
	r := e.openReader(backend.Earliest)
	e.read(r)
	e.close("reader", r)
	e.close("closed reader", r)
	b, err := e.tryRead(e.Context(), r)
	e.wantIs("read after Close", err, backend.ErrClosed)
	if len(b.Records) > 0 {
		e.Errorf("read after Close: %s", plural(len(b.Records), "record", "records"))
	}
}

// closeEndsRead: a consumer waits in Read for most of its life, so this is how most readers end.
func closeEndsRead(e *env) {
	e.needSource()
	e.fill(3)
	r := e.openReader(backend.Earliest)
	e.readTail(r)
	var err error
	end, _ := e.begin("Read after Close", func() { _, err = readUntil(e.Context(), r, 1) })
	e.close("reader", r)
	end()
	e.wantIs("read", err, backend.ErrClosed)
}

// readUntil reads n records, or until an error, past the empty batches that a reader may return now and then. It is for
// the goroutines that wait in Read while the test goes on.
func readUntil(ctx context.Context, r backend.Reader, n int) (got backend.Batch, err error) {
	for range mostCalls {
		b, err := r.Read(ctx)
		if err != nil {
			return got, err
		}
		got.Records, got.Next = append(got.Records, b.Records...), b.Next
		if len(got.Records) >= n {
			return got, nil
		}
	}
	return got, errors.New("read does not wait at the tail")
}

// use opens and closes what can be opened, in states that are easy to forget: unread, waiting, unacknowledged.
func (e *env) useStream() {
	e.Helper()
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 2, 2)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	e.send(s, 1, b[1])
	e.close("session", s)
	if e.Source == nil {
		return
	}
	r := e.openReader(backend.Earliest)
	e.read(r)
	e.close("reader", r)
	r = e.openReader(backend.Latest)
	e.read(r)
	var err error
	end, _ := e.begin("Read after Close", func() { _, err = readUntil(e.Context(), r, 1) })
	e.close("reader", r)
	if end(); errors.Is(err, io.EOF) {
		e.Errorf("read: %v on a stream that goes on", err)
	}
}

// noGoroutineLeft is exact in a bubble. Elsewhere connections are pooled and servers run beside, so that it can only look
// whether using a stream often leaves ever more behind.
func noGoroutineLeft(e *env) {
	e.useStream()
	if e.h.Bubble {
		before := goleak.IgnoreCurrent()
		e.useStream()
		e.waitIdle()
		if err := goleak.Find(before); err != nil {
			e.Error(err)
		}
		return
	}
	if e.h.Beside {
		e.Skip("left out: other tests run beside this one, and their goroutines cannot be told from its own")
	}
	const rounds = 16
	before := runtime.NumGoroutine()
	for range rounds {
		e.useStream()
	}
	deadline := time.NewTimer(e.h.Patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for runtime.NumGoroutine() >= before+rounds {
		select {
		case <-again.C:
		case <-deadline.C:
			e.Fatalf("%d goroutines, and %d after using the stream %d times", before, runtime.NumGoroutine(), rounds)
		}
	}
}
