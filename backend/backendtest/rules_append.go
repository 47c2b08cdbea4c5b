package backendtest

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// orderAndWholeness is the most important rule: every acknowledged record is stored once, in the order of sending, for batches of
// all sizes. Without this rule no other rule has a meaning.
func orderAndWholeness(e *env) {
	a := e.appender()
	batches := e.batches(a, 100, 20)
	s := e.open(a)
	acks, err := e.pump(s, 0, batches) // checks that acks come in order and claim no more than was sent
	if err != nil {
		e.Fatal(err)
	}
	if e.h.Offsets && len(acks) != len(batches) {
		e.Errorf("%d acks for %d batches: a store that gives offsets acknowledges each batch", len(acks), len(batches))
	}
	e.close("session", s)
	e.wantStored(batches...)
}

// streamsAreApart finds a store that mixes the data of streams because its key is too short, and a harness that returns the same
// stream twice.
func streamsAreApart(e *env) {
	e.write(e.batches(e.appender(), 2, 3)...)
	other := *e
	other.Target = e.h.Open(e)
	if got := other.stored(); len(got) != 0 {
		e.Errorf("a fresh stream holds %s of another stream", plural(len(got), "record", "records"))
	}
}

// recvBlocks: Recv waits while nothing is unacknowledged. A producer calls Recv before its first Send, and would take an error of
// Recv for the end of the session.
func recvBlocks(e *env) {
	a := e.appender()
	s := e.open(a)
	for seq := range uint64(3) {
		var ack backend.Ack
		var err error
		end, ended := e.begin("Recv", func() { ack, err = s.Recv(e.Context()) })
		if e.h.Bubble && ended() {
			e.Fatalf("recv returned (%d, %v) while nothing was unacknowledged", ack.Seq, err)
		}
		e.send(s, seq, e.batch(a, 2))
		if end(); err != nil || ack.Seq != seq {
			e.Fatalf("recv returned (%d, %v), want the ack of batch %d, which was sent meanwhile", ack.Seq, err, seq)
		}
	}
}

// openContext: the session outlives the context of Open. A producer opens with the context of New, which may end long before the
// producer ends. This rule finds clients that bind a connection to the context of dialling.
func openContext(e *env) {
	a := e.appender()
	ctx, cancel := context.WithCancel(e.Context())
	s, err := e.tryOpen(ctx, a)
	if err != nil {
		e.Fatal(err)
	}
	b := e.batches(a, 4, 3)
	if _, err := e.pump(s, 0, b[:2]); err != nil {
		e.Fatal(err)
	}
	cancel()
	e.waitIdle()
	if _, err := e.pump(s, 2, b[2:]); err != nil {
		e.Fatalf("after the end of the context of Open: %v", err)
	}
	e.wantStored(b...)
}

// sendContextEnds: the context of Send bounds the wait for room only, so a batch that was taken stays taken when the context
// ends. This rule finds clients that make a request in the background with the context of Send.
func sendContextEnds(e *env) {
	a := e.appender()
	s := e.open(a)
	var sent [][]backend.Record
	for seq := range uint64(5) {
		b := e.batch(a, 3)
		ctx, cancel := context.WithCancel(e.Context())
		err := e.trySend(ctx, s, seq, b)
		cancel()
		if err != nil {
			e.Fatal(err)
		}
		sent = append(sent, b)
		e.recv(s, seq)
	}
	e.wantStored(sent...)
}

func cancelled(e *env) context.Context {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	return ctx
}

// cancelledOpen: after an Open that was cancelled, nothing is stored, and the next Open of the same Appender works as usual.
func cancelledOpen(e *env) {
	a := e.appender()
	s, err := e.tryOpen(cancelled(e), a)
	if err == nil {
		e.Fatal("it succeeded")
	}
	if s != nil {
		e.Errorf("open: a session and an error: %v", err)
	}
	e.wantRetry("open", err)
	b := e.batches(a, 2, 2)
	if _, err := e.pump(e.open(a), 0, b); err != nil {
		e.Fatalf("after that: %v", err)
	}
	e.wantStored(b...)
}

// cancelledSend: a cancelled Send ends the session, and the reason is true of the batch.
func cancelledSend(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 3, 3)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	if err := e.trySend(cancelled(e), s, 1, b[1]); err == nil {
		e.Error("it succeeded")
	}
	reason := e.reason(s)
	e.wantRetry("recv", reason)
	e.resendRest(a, s, reason, 1, b)
}

// resendRest closes a session that ended with reason, sends every batch from seq acked on again through a new session, and checks
// the stored records.
func (e *env) resendRest(a backend.Appender, s backend.Session, reason error, acked uint64, batches [][]backend.Record) {
	e.Helper()
	e.close("session", s)
	if _, err := e.pump(e.open(a), acked, batches[acked:]); err != nil {
		e.Fatalf("in the next session: %v", err)
	}
	e.wantResent(reason, batches)
}

// wantResent checks the stored records after a session ended with reason and its unacknowledged batches were sent again.
func (e *env) wantResent(reason error, batches [][]backend.Record) {
	e.Helper()
	if e.h.Dedup || safe(reason) {
		e.wantStored(batches...)
	} else {
		e.wantReplay(batches)
	}
}

// cancelledRecv: a cancelled Recv ends the session. Otherwise the sender would go on sending to a session whose acks nobody
// receives.
func cancelledRecv(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 3, 3)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	_, err := e.tryRecv(cancelled(e), s)
	if err == nil {
		e.Fatal("it succeeded, although nothing was unacknowledged")
	}
	e.wantRetry("recv", err)
	if err := e.trySend(e.Context(), s, 1, b[1]); err == nil {
		e.Error("send: a batch was taken after Recv had returned an error")
	}
	e.resendRest(a, s, err, 1, b)
}

// cancelledWaitingRecv: a Recv that waits returns when its context ends, even when no ack arrives.
func cancelledWaitingRecv(e *env) {
	a := e.appender()
	s := e.open(a)
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	var err error
	end, _ := e.begin("Recv after its context", func() { _, err = s.Recv(ctx) })
	cancel()
	if end(); err == nil {
		e.Fatal("it succeeded, although nothing was sent")
	}
	e.wantRetry("recv", err)
	e.resendRest(a, s, err, 0, e.batches(a, 2, 3))
}

// wrongContentType: a stream refuses an Appender with another content type at the opening, because nobody could tell the records
// of two codecs apart later.
func wrongContentType(e *env) {
	e.need(e.h.OtherFormat.ContentType != "", "the harness gives no OtherFormat")
	b := e.batches(e.appender(), 2, 3)
	e.write(b...)
	_, err := e.tryOpen(e.Context(), e.Sink.NewAppender(e.h.OtherFormat))
	if err == nil {
		e.Fatalf("a stream of %q was opened for %q", e.h.Format.ContentType, e.h.OtherFormat.ContentType)
	}
	e.wantIs("open", err, backend.ErrRejected, backend.ErrConflict, backend.ErrUnsupported)
	e.wantStored(b...)
}

// missingSink: Open reports a stream that does not exist. Otherwise a wrong name would be found only when the first record is lost.
func missingSink(e *env) {
	e.need(e.MissingSink != nil, "the harness gives no MissingSink")
	_, err := e.tryOpen(e.Context(), e.MissingSink.NewAppender(e.h.Format))
	e.wantIs("open", err, backend.ErrNotFound)
}
