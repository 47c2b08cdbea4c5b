package backendtest

import (
	"github.com/headrace/headrace/backend"
)

// brokenAppend acts like a producer on a bad connection, which sends every batch without an ack again. In the end every record
// must be stored, and a record may be stored twice only when an error has announced the risk (ErrIndeterminate alone).
func brokenAppend(e *env) {
	e.need(e.Break != nil, "the harness gives no Break")
	a := e.appender()
	p := &brokenProducer{env: e, batches: e.batches(a, 100, 4), breaks: 25, allSafe: true}
	for p.acked < len(p.batches) {
		s, err := e.tryOpen(e.Context(), a)
		if err != nil { // a break may hit the opening too
			p.wantRetryable("open", err)
			continue
		}
		if err := p.use(s); err != nil {
			p.lost(err)
		}
	}
	if e.h.Dedup || p.allSafe {
		e.wantStored(p.batches...)
	} else {
		e.wantReplay(p.batches)
	}
}

// A brokenProducer sends batches over sessions that break.
type brokenProducer struct {
	*env
	batches [][]backend.Record
	acked   int  // batches below are acknowledged
	breaks  int  // how many times the connection is still to be broken
	allSafe bool // every error so far has said that a resend stores nothing twice
}

// use sends some of the batches that are not acknowledged over s, breaks the connection at some moment, and closes s. use
// returns the error of Recv, or nil when every batch that was sent is acknowledged.
func (p *brokenProducer) use(s backend.Session) (err error) {
	first, n := p.acked, len(p.batches)-p.acked
	if p.breaks > 0 {
		n = min(n, 1+p.dice.IntN(8))
	}
	end, _ := p.begin("Send over a broken connection", func() {
		for i := first; i < first+n; i++ {
			if s.Send(p.Context(), uint64(i), p.batches[i]) != nil {
				return
			}
		}
	})
	breakAt := first + p.dice.IntN(n+1)
	for p.acked < first+n && err == nil {
		if p.acked >= breakAt && p.breaks > 0 {
			p.breaks--
			breakAt = len(p.batches)
			p.within("Break", p.Break)
		}
		var ack backend.Ack
		if ack, err = p.tryRecv(p.Context(), s); err == nil {
			p.note(ack, first+n)
		}
	}
	p.close("session", s)
	end()
	return err
}

// note notes an ack, which must be for a batch that was sent and is not acknowledged.
func (p *brokenProducer) note(ack backend.Ack, sent int) {
	if ack.Seq < uint64(p.acked) || ack.Seq >= uint64(sent) {
		p.Fatal(&badAck{ack.Seq, uint64(p.acked), uint64(sent - 1)})
	}
	p.acked = int(ack.Seq) + 1
}

// lost looks at the error with which a session ended.
func (p *brokenProducer) lost(err error) {
	p.wantRetryable("recv over a broken connection", err)
	p.allSafe = p.allSafe && safe(err)
	if p.h.Dedup && !safe(err) {
		p.Errorf("recv: %v; a store that recognizes a resend must say that a retry is safe", err)
	}
}

// wantRetryable ends the test when err does not allow a retry.
func (p *brokenProducer) wantRetryable(what string, err error) {
	if p.wantRetry(what, err); p.Failed() {
		p.FailNow()
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
