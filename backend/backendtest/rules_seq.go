package backendtest

import (
	"errors"
	"github.com/headrace/headrace/backend"
)

// seqGoesOn: seqs go on over sessions. A store that counts from 0 in each session would take the first batches of the next session
// for duplicates.
func seqGoesOn(e *env) {
	a := e.appender()
	b := e.batches(a, 9, 4)
	for i := uint64(0); i < 9; i += 3 {
		s := e.open(a)
		if _, err := e.pump(s, i, b[i:i+3]); err != nil {
			e.Fatalf("session %d: %v", i/3+1, err)
		}
		e.close("session", s)
	}
	e.wantStored(b...)
}

// seqAckedBefore: a seq that was acknowledged before is refused. A store that recognizes resends would silently drop the new batch
// as a duplicate, so the session must stop the batch.
func seqAckedBefore(e *env) {
	a := e.appender()
	b := e.batches(a, 3, 3)
	s := e.open(a)
	if _, err := e.pump(s, 0, b); err != nil {
		e.Fatal(err)
	}
	for _, session := range []string{"the same session", "the next session"} {
		if err := e.trySend(e.Context(), s, 1, e.batch(a, 2)); err != nil {
			e.wantIs("send in "+session, err, backend.ErrConflict)
		}
		e.wantIs("recv in "+session, e.reason(s), backend.ErrConflict)
		e.close("session", s)
		s = e.open(a)
	}
	more := e.batch(a, 2)
	if _, err := e.pump(s, 3, [][]backend.Record{more}); err != nil {
		e.Fatalf("after that: %v", err)
	}
	e.wantStored(append(b, more)...)
}

// seqGap: a seq with a gap before is refused. The batches in the gap would be missing for good, and nobody would notice.
func seqGap(e *env) {
	a := e.appender()
	b := e.batches(a, 3, 3)
	s := e.open(a)
	if _, err := e.pump(s, 0, b[:1]); err != nil {
		e.Fatal(err)
	}
	if err := e.trySend(e.Context(), s, 2, b[2]); err != nil {
		e.wantIs("send", err, backend.ErrConflict)
	}
	e.wantIs("recv", e.reason(s), backend.ErrConflict)
	e.close("session", s)
	e.wantStored(b[0])
	if _, err := e.pump(e.open(a), 1, b[1:]); err != nil {
		e.Fatalf("after that: %v", err)
	}
	e.wantStored(b...)
}

// resend: a batch whose reply was lost is sent again. The resend is acknowledged in its turn, with the offsets of the stored records.
func resend(e *env) {
	a := e.appender()
	b := e.batches(a, 6, 3)
	s := e.open(a)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	e.send(s, 1, b[1])
	e.waitIdle() // in a bubble the batch is stored now, so the next session really sends a stored batch again
	e.close("session", s)

	s = e.open(a)
	acks, err := e.pump(s, 1, b[1:])
	if err != nil {
		e.Fatalf("resend: %v", err)
	}
	if e.h.Dedup {
		e.wantStored(b...)
	} else {
		e.wantReplay(b)
	}
	if e.Source == nil {
		return
	}
	stored := e.stored()
	for _, ack := range acks {
		if ack.OffsetOf == nil || !e.h.Dedup {
			continue
		}
		at := len(flat(b[:ack.Seq]))
		for i := range b[ack.Seq] {
			if got := ack.OffsetOf(i); got != stored[at+i].Offset {
				e.Errorf("resend: record %d of batch %d is at %q and read at %q", i, ack.Seq, got, stored[at+i].Offset)
			}
		}
	}
}

// resendOften closes sessions at random, like a producer whose acks do not arrive in time, and sends the rest again each time.
func resendOften(e *env) {
	a := e.appender()
	b := e.batches(a, 60, 4)
	acked := 0
	for acked < len(b) {
		s := e.open(a)
		n := min(1+e.dice.IntN(6), len(b)-acked)
		first := acked
		receive := e.dice.IntN(n + 1)
		if receive == n {
			acks, err := e.pump(s, uint64(first), b[first:first+n])
			if err != nil && !(e.h.Late && errors.Is(err, backend.ErrTransient) && errors.Is(err, backend.ErrIndeterminate)) {
				e.Fatal(err)
			}
			if len(acks) > 0 {
				acked = int(acks[len(acks)-1].Seq) + 1
			}
		} else {
			end, _ := e.begin("Send", func() {
				for i := range n {
					if s.Send(e.Context(), uint64(first+i), b[first+i]) != nil {
						return
					}
				}
			})
			for acked < first+receive {
				ack, err := e.tryRecv(e.Context(), s)
				if err != nil || ack.Seq < uint64(acked) || ack.Seq >= uint64(first+n) {
					e.Fatalf("recv: batch %d, %v; want one from %d to %d", ack.Seq, err, acked, first+n-1)
				}
				acked = int(ack.Seq) + 1
			}
			e.close("session", s)
			end()
			continue
		}
		e.close("session", s)
	}
	if e.h.Dedup {
		e.wantStored(b...)
	} else {
		e.wantReplay(b)
	}
}

// seqIsPrivate: every producer has its own seqs. A store that keeps seqs by stream and not by producer would drop the records of the
// second producer as duplicates.
func seqIsPrivate(e *env) {
	e.need(!e.h.Exclusive, "the stream has one writer")
	a, b := e.appender(), e.appender()
	first, second := e.batches(a, 4, 3), e.batches(b, 2, 3)
	s := e.open(a)
	if _, err := e.pump(s, 0, first[:3]); err != nil {
		e.Fatal(err)
	}
	// seq 0 and 1 of another producer are neither a resend nor a conflict.
	if _, err := e.pump(e.open(b), 0, second); err != nil {
		e.Fatalf("a second Appender: %v", err)
	}
	if _, err := e.pump(s, 3, first[3:]); err != nil {
		e.Fatalf("the first Appender after that: %v", err)
	}
	e.wantStored(append(append(first[:3:3], second...), first[3])...)
}
