package backendtest

import (
	"errors"

	"github.com/headrace/headrace/backend"
)

// resume makes the appender of a name, as another process would.
func (e *env) resume(from backend.Resumption) (backend.Appender, string) {
	e.Helper()
	sink, ok := e.Sink.(backend.Resumer)
	e.need(ok, "the sink is not a backend.Resumer")
	a, origin, err := sink.Resume(e.Context(), e.h.Format, from)
	if err != nil {
		e.Fatalf("resume at %+v: %v", from, err)
	}
	return a, origin
}

// insist sends batches until they are acknowledged, over as many sessions as that takes. It returns the first error that is final.
func (e *env) insist(a backend.Appender, first uint64, batches [][]backend.Record) error {
	e.Helper()
	for range 20 {
		s, err := e.tryOpen(e.Context(), a)
		if err == nil {
			var acks []backend.Ack
			acks, err = e.pump(s, first, batches)
			if n := len(acks); n > 0 {
				batches = batches[acks[n-1].Seq+1-first:]
				first = acks[n-1].Seq + 1
			}
			e.close("session", s)
		}
		if err == nil || !errors.Is(err, backend.ErrTransient) && !errors.Is(err, backend.ErrIndeterminate) {
			return err
		}
	}
	e.Fatal("no progress in 20 sessions")
	return nil
}

func records(batches [][]backend.Record) (n uint64) {
	for _, b := range batches {
		n += uint64(len(b))
	}
	return n
}

const resumedName = "a relay/of orders"

// resumedOnce: a batch that another process sent is acknowledged and not stored again, whether it was stored or not.
func resumedOnce(e *env) {
	a, origin := e.resume(backend.Resumption{Name: resumedName})
	b := e.batches(a, 8, 3)
	s := e.open(a)
	if _, err := e.pump(s, 0, b[:2]); err != nil {
		e.Fatal(err)
	}
	e.send(s, 2, b[2])
	if n := a.Limits().InFlight; n != 1 { // with 1, Send would wait for the ack of the batch before
		e.send(s, 3, b[3])
	}
	e.waitIdle()
	e.close("session", s)

	from := backend.Resumption{Name: resumedName, Seq: 2, Records: records(b[:2]), Sent: 5, Origin: origin}
	next, same := e.resume(from)
	if same != origin {
		e.Errorf("origin %q where batches may be stored, want %q as before", same, origin)
	}
	if err := e.insist(next, 0, b[2:6]); err != nil {
		e.Fatalf("the batches that may be stored, and one behind them: %v", err)
	}
	from = backend.Resumption{Name: resumedName, Seq: 6, Records: records(b[:6]), Sent: 6, Origin: origin}
	last, _ := e.resume(from)
	if err := e.insist(last, 0, b[6:]); err != nil {
		e.Fatalf("behind batches that are all acknowledged: %v", err)
	}
	e.wantStored(b...)
}

// resumedBeside: what an older process sends late is stored nowhere, when a newer one has sent it too.
func resumedBeside(e *env) {
	older, origin := e.resume(backend.Resumption{Name: resumedName})
	b := e.batches(older, 5, 3)
	s := e.open(older)
	if _, err := e.pump(s, 0, b[:2]); err != nil {
		e.Fatal(err)
	}
	from := backend.Resumption{Name: resumedName, Seq: 1, Records: records(b[:1]), Sent: 4, Origin: origin}
	newer, _ := e.resume(from)
	if err := e.insist(newer, 0, b[1:]); err != nil {
		e.Fatal(err)
	}
	e.wantStored(b...)
	first := uint64(2)
	if err := e.trySend(e.Context(), s, 2, b[2]); err == nil {
		if _, err := e.tryRecv(e.Context(), s); err == nil { // as a resend; it may as well be refused
			first = 3
		}
	}
	e.close("session", s)
	_ = e.insist(older, first, b[first:4])
	e.wantStored(b...)
}

// resumeNames: a name that cannot be kept or sent is refused.
func resumeNames(e *env) {
	sink, ok := e.Sink.(backend.Resumer)
	e.need(ok, "the sink is not a backend.Resumer")
	for _, from := range []backend.Resumption{{}, {Name: "a\nb"}, {Name: "\xff"}, {Name: "a", Seq: 2, Sent: 1}} {
		_, _, err := sink.Resume(e.Context(), e.h.Format, from)
		e.wantIs("resume", err, backend.ErrRejected)
	}
}
