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

// closeSessionTwice: a second Close does nothing. A producer that shuts down while it recovers may close a session from two
// places.
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

// closeAgainLate: a second Close of a session leaves the next session of its appender alone. A producer that shuts down while it
// recovers may close the old session again when the next one already has batches in flight. If the old session took them back, or
// ended the next session's connection, batches could be lost that nobody sends again.
func closeAgainLate(e *env) {
	a := e.appender()
	b := e.batches(a, 8, 3)
	var before backend.Session
	for seq := 0; seq < len(b); seq += 2 {
		s := e.open(a)
		e.send(s, uint64(seq), b[seq])
		if before != nil {
			e.close("session before, while the next one has a batch in flight", before)
		}
		e.recv(s, uint64(seq))
		e.send(s, uint64(seq+1), b[seq+1])
		e.recv(s, uint64(seq+1))
		e.close("session", s)
		before = s
	}
	e.wantStored(b...)
}

// closeEndsRecv: Close ends a waiting Recv. After its deadline a producer closes the session to end its own goroutines.
func closeEndsRecv(e *env) {
	a := e.appender()
	s := e.open(a)
	var err error
	end, _ := e.begin("Recv after Close", func() { _, err = s.Recv(e.Context()) })
	e.close("session", s)
	end()
	e.wantIs("recv", err, backend.ErrClosed)
}

// closeEndsSend: Close ends a Send under way. The rule sends without receiving: with a limit of InFlight until there is no room,
// otherwise until Close.
func closeEndsSend(e *env) {
	const most = 5000 // batches, if nothing limits the number
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

// closeReaderTwice: a second Close does nothing. A consumer whose loop is left in the middle may close a reader from two places.
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

// closeEndsRead: Close ends a waiting Read. A consumer waits in Read most of the time, so most readers end in this way.
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

// readUntil reads until n records or an error, and skips the empty batches that a reader may return. readUntil is for goroutines
// that wait in Read while the test goes on.
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

// useStream opens and closes sessions and readers in states that are easily forgotten: with an unacknowledged batch, with unread
// records, and with a waiting Read.
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
		e.Errorf("read: %v on a stream that is not closed", err)
	}
}

// noGoroutineLeft: after Close no goroutine is left. In a bubble the check is exact. Elsewhere connections are pooled and servers
// run in the same process, so the rule only checks that the number of goroutines does not grow with the number of uses.
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
