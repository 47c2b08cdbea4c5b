package backendtest

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// notifier opens a reader, and skips a rule for a store whose readers always wait in Read.
func (e *env) notifier(from backend.Offset) backend.Notifier {
	e.Helper()
	e.needSource()
	n, ok := e.openReader(from).(backend.Notifier)
	e.need(ok, "the reader is no Notifier")
	return n
}

// A notice is the function that a rule gives to Notify.
type notice struct {
	calls atomic.Int64
	first chan struct{} // closed by the first call
}

// notify lets r wait, and checks that r says to wait, perhaps after some reads without records.
func (e *env) notify(r backend.Notifier) *notice {
	e.Helper()
	n := &notice{first: make(chan struct{})}
	for waits := false; ; {
		e.within("Notify", func() {
			waits = !r.Notify(func() {
				if n.calls.Add(1) == 1 {
					close(n.first)
				}
			})
		})
		if waits {
			break
		}
		if b := e.read(r); len(b.Records) > 0 || !b.CaughtUp {
			e.Fatalf("a Read at the tail returned %s", plural(len(b.Records), "record", "records"))
		}
	}
	e.waitIdle()
	if n.calls.Load() > 0 {
		e.Fatalf("a reader called the function of Notify before there was anything to read")
	}
	return n
}

// once waits for the call of the notice, and checks that there is only one.
func (e *env) once(n *notice) {
	e.Helper()
	e.await("the function of Notify", n.first)
	e.waitIdle()
	if calls := n.calls.Load(); calls > 1 {
		e.Errorf("a reader called the function of one Notify %d times", calls)
	}
}

// notifiesOfRecords: a reader at the tail calls the function once when a record comes, and again only after another Notify.
func notifiesOfRecords(e *env) {
	e.fill(3)
	r := e.notifier(backend.Earliest)
	e.readTail(r)
	for range 3 {
		n := e.notify(r)
		more := e.batches(e.appender(), 2, 2)
		e.write(more...)
		e.once(n)
		got, _ := e.readN(r, len(flat(more)))
		e.same("after the notice", got, flat(more))
		e.once(n)
	}
}

// notifyBeforeRecords: Notify returns true in front of a record, and the record is read without a wait.
func notifyBeforeRecords(e *env) {
	r := e.notifier(backend.Earliest)
	e.fill(3)
	for read := 0; read < 3; read += len(e.read(r).Records) {
		var ready bool
		e.within("Notify", func() {
			ready = r.Notify(func() { e.Error("a reader called the function after Notify had returned true") })
		})
		if !ready {
			e.Fatalf("Notify says that a Read would wait in front of record %d", read)
		}
	}
}

// notifiesOfEnds: a reader that waits calls the function when the reader is closed, and when the stream is closed for good.
func notifiesOfEnds(e *env) {
	e.fill(3)
	r := e.notifier(backend.Earliest)
	e.readTail(r)
	n := e.notify(r)
	e.close("reader", r)
	e.once(n)
	_, err := e.tryRead(e.Context(), r)
	e.wantIs("read", err, backend.ErrClosed)
	if e.Finish == nil {
		return
	}
	r = e.notifier(backend.Earliest)
	e.readTail(r)
	n = e.notify(r)
	e.finishStream()
	e.once(n)
	if _, err := readUntil(e.Context(), r, 1); !errors.Is(err, io.EOF) {
		e.Errorf("read at the end: %v, want %v", err, io.EOF)
	}
}
