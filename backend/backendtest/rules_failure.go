package backendtest

import (
	"github.com/headrace/headrace/backend"
)

// brokenAppend acts like a producer on a bad connection, which sends every batch without an ack again. In the end every record
// must be stored, and a record may be stored twice only when an error has announced the risk (ErrIndeterminate alone).
func brokenAppend(e *env) {
	e.need(e.Break != nil, "the harness gives no Break")
	a := e.appender()
	b := e.batches(a, 100, 4)
	acked, allSafe := 0, true
	for breaks := 25; acked < len(b); {
		s, err := e.tryOpen(e.Context(), a)
		if err != nil { // a break may hit the opening too
			if e.wantRetry("open", err); e.Failed() {
				e.FailNow()
			}
			continue
		}
		first, n := acked, len(b)-acked
		if breaks > 0 {
			n = min(n, 1+e.dice.IntN(8))
		}
		end, _ := e.begin("Send over a broken connection", func() {
			for i := first; i < first+n; i++ {
				if s.Send(e.Context(), uint64(i), b[i]) != nil {
					return
				}
			}
		})
		cut := first + e.dice.IntN(n+1)
		for acked < first+n && err == nil {
			if acked >= cut && breaks > 0 {
				breaks--
				cut = len(b)
				e.within("Break", e.Break)
			}
			var ack backend.Ack
			if ack, err = e.tryRecv(e.Context(), s); err == nil {
				if ack.Seq < uint64(acked) || ack.Seq >= uint64(first+n) {
					e.Fatal(&badAck{ack.Seq, uint64(acked), uint64(first + n - 1)})
				}
				acked = int(ack.Seq) + 1
			}
		}
		if err != nil {
			if e.wantRetry("recv over a broken connection", err); e.Failed() {
				e.FailNow()
			}
			allSafe = allSafe && safe(err)
			if e.h.Dedup && !safe(err) {
				e.Errorf("recv: %v; a store that recognises a resend must say that a retry is safe", err)
			}
		}
		e.close("session", s)
		end()
	}
	if e.h.Dedup || allSafe {
		e.wantStored(b...)
	} else {
		e.wantReplay(b)
	}
}

// brokenRead acts like a consumer on a bad connection, which resumes at the last Next. No record may be lost or repeated.
func brokenRead(e *env) {
	e.needSource()
	e.need(e.Break != nil, "the harness gives no Break")
	all := e.fill(120)
	var got []backend.Record
	at := backend.Earliest
	for breaks := 25; len(got) < len(all); {
		r, err := e.tryOpenReader(e.Context(), at)
		for err == nil && len(got) < len(all) {
			if breaks > 0 && e.dice.IntN(3) == 0 {
				breaks--
				e.within("Break", e.Break)
			}
			var b backend.Batch
			if b, err = e.tryRead(e.Context(), r); err == nil {
				got, at = append(got, b.Records...), b.Next
			}
		}
		if err != nil {
			if e.wantIs("over a broken connection", err, backend.ErrTransient); e.Failed() {
				e.FailNow()
			}
		}
		if r != nil {
			e.close("reader", r)
		}
	}
	e.same("over broken connections", got, all)
}

// restart: after a restart every acknowledged record is stored, and every offset handed out before still works. The store also
// remembers the content type.
func restart(e *env) {
	r := e.Restart
	e.need(r != nil, "the harness gives no Restart")
	a := e.appender()
	b := e.batches(a, 20, 4)
	e.write(b...)
	before := e.stored()
	e.within("Restart", func() { e.Target = r(e) })
	after := e.stored()
	e.same("after the restart", after, flat(b))
	more := e.batches(e.appender(), 3, 3)
	e.write(more...)
	want := append(flat(b), flat(more)...)
	e.same("written after the restart", e.stored(), want)
	if e.Source == nil {
		return
	}
	for i := range before {
		if before[i].Offset != after[i].Offset {
			e.Errorf("record %d was at %q and is now at %q", i, before[i].Offset, after[i].Offset)
		}
		e.same("from Next "+string(before[i].Next), e.from(before[i].Next), want[i+1:])
	}
	if e.h.OtherFormat.ContentType != "" {
		if _, err := e.tryOpen(e.Context(), e.Sink.NewAppender(e.h.OtherFormat)); err == nil {
			e.Error("the content type was forgotten")
		}
	}
}
