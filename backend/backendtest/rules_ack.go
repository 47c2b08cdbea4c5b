package backendtest

import (
	"errors"

	"github.com/headrace/headrace/backend"
)

// safe reports whether err promises for the batches it is about: a resend stores no batch twice.
func safe(err error) bool {
	return errors.Is(err, backend.ErrTransient) || !errors.Is(err, backend.ErrIndeterminate) && !errors.Is(err, backend.ErrClosed)
}

// offsetOf: the offset of an ack is the place where the record is read. Users get the offset from a receipt, keep the offset
// beside their own data, and read from there months later.
func offsetOf(e *env) {
	e.needSource()
	a := e.appender()
	batches := e.batches(a, 20, 6)
	s := e.open(a)
	acks, err := e.pump(s, 0, batches)
	if err != nil {
		e.Fatal(err)
	}
	var before [][]backend.Offset
	for _, ack := range acks {
		if ack.OffsetOf == nil {
			if e.h.Offsets {
				e.Fatalf("the ack of batch %d has no OffsetOf", ack.Seq)
			}
			e.Skip("left out: the store gives no offset per record")
		}
		before = append(before, offsets(ack, len(batches[ack.Seq])))
	}
	e.close("session", s)
	stored := e.stored()
	e.same("stored", stored, flat(batches))

	at := 0
	next := uint64(0)
	for i, ack := range acks {
		if ack.Seq != next {
			e.Fatalf("batch %d has no ack of its own, although the store gives offsets", next)
		}
		next++
		for j, again := range offsets(ack, len(batches[ack.Seq])) {
			if before[i][j] != again {
				e.Errorf("batch %d: record %d is at %q and later at %q", ack.Seq, j, before[i][j], again)
			}
			if again != stored[at].Offset {
				e.Errorf("batch %d: record %d is at %q and read at %q", ack.Seq, j, again, stored[at].Offset)
			}
			at++
		}
	}
}

func offsets(ack backend.Ack, n int) []backend.Offset {
	all := make([]backend.Offset, n)
	for i := range all {
		all[i] = ack.OffsetOf(i)
	}
	return all
}

// ackNext: reading from Next of an ack begins with the next batch. A Next that is slightly wrong would repeat or skip records for
// somebody who writes and then reads on from there.
func ackNext(e *env) {
	e.needSource()
	a := e.appender()
	batches := e.batches(a, 12, 4)
	acks := e.write(batches...)
	for _, ack := range acks {
		if ack.Next == "" {
			e.Skip("left out: the store does not say where the stream goes on")
		}
		if ack.Next.Relative() {
			e.Fatalf("the ack of batch %d has Next %q, which is not a place", ack.Seq, ack.Next)
		}
		want := flat(batches[ack.Seq+1:])
		e.same("from Next of an ack", e.from(ack.Next), want)
	}
}

// acksBeforeReason ends a session with a wrong seq while batches are in flight. Recv must return the acks first. Only in a bubble
// we know that the acks have arrived in time; elsewhere the reason must be true of the batches without an ack.
func acksBeforeReason(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 4, 3)
	n := uint64(3)
	if l := a.Limits().InFlight; l > 0 {
		n = min(n, uint64(l))
	}
	for seq := range n {
		e.send(s, seq, b[seq])
	}
	e.waitIdle()
	if err := e.trySend(e.Context(), s, 0, b[0]); err == nil {
		e.Error("send: seq 0 was taken, but a later seq is next")
	}
	acks, reason := e.drain(s)
	acked := uint64(0)
	if len(acks) > 0 {
		acked = acks[len(acks)-1].Seq + 1
	}
	if acked < n && (e.h.Bubble || !errors.Is(reason, backend.ErrIndeterminate)) {
		e.Fatalf("%d of %d batches were acknowledged before the reason, which is %v", acked, n, reason)
	}
	e.close("session", s)
	if _, err := e.pump(e.open(a), acked, b[acked:]); err != nil {
		e.Fatalf("in the next session: %v", err)
	}
	e.wantResent(reason, b)
}

// nothingAfterReason: after Recv has returned the reason, no batch is taken. The reason tells a producer which batches to send
// again; a batch taken after the reason would be stored without the producer's knowledge.
func nothingAfterReason(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 3, 3)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	if err := e.trySend(e.Context(), s, 0, b[0]); err == nil {
		e.Error("send: a seq acknowledged before was taken")
	}
	reason := e.reason(s)
	for range 2 {
		if err := e.trySend(e.Context(), s, 1, b[1]); err == nil {
			e.Error("send: a batch was taken after Recv had returned an error")
		}
		if _, err := e.tryRecv(e.Context(), s); err == nil {
			e.Error("recv: an ack after an error")
		}
	}
	e.resendRest(a, s, reason, 1, b)
}
