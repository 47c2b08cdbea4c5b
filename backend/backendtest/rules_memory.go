package backendtest

import (
	"bytes"
	"slices"

	"github.com/headrace/headrace/backend"
)

// deepCopy returns a copy that shares no memory with recs.
func deepCopy(recs []backend.Record) []backend.Record {
	all := slices.Clone(recs)
	for i := range all {
		all[i].Value = bytes.Clone(all[i].Value)
		all[i].Headers = slices.Clone(all[i].Headers)
		for j := range all[i].Headers {
			all[i].Headers[j].Value = bytes.Clone(all[i].Headers[j].Value)
		}
	}
	return all
}

// scribble overwrites the memory of records, like a producer that has got the memory back and uses the memory for other records.
func scribble(recs []backend.Record) {
	for i := range recs {
		for j := range recs[i].Value {
			recs[i].Value[j] = 'x'
		}
		for j := range recs[i].Headers {
			for k := range recs[i].Headers[j].Value {
				recs[i].Headers[j].Value[k] = 'x'
			}
			recs[i].Headers[j].Name = "overwritten"
		}
		recs[i] = backend.Record{Value: []byte("overwritten")}
	}
}

// lentBatches makes n batches; every record has a header if the store keeps headers.
func (e *env) lentBatches(a backend.Appender, n int) [][]backend.Record {
	e.Helper()
	all := e.batches(a, n, 4)
	for _, b := range all {
		for i := range b {
			if e.h.Headers {
				b[i].Headers = backend.Headers{{Name: "h", Value: []byte("header")}}
			}
		}
	}
	return all
}

// lentUntilAck: a session does not read records after the ack. A producer reuses the memory of an acknowledged batch; a session
// that still reads the memory would store the bytes of a later batch.
func lentUntilAck(e *env) {
	a := e.appender()
	s := e.open(a)
	lent := e.lentBatches(a, 20)
	var want [][]backend.Record
	for i, b := range lent {
		want = append(want, deepCopy(b))
		e.send(s, uint64(i), b)
		e.recv(s, uint64(i))
		scribble(b)
	}
	e.wantStored(want...)
	e.close("session", s)
	e.wantStored(want...)
}

// lentInPipeline: the same with several batches in flight. The producer reuses the memory of a batch as soon as Send has returned
// and the ack has arrived, while the session works on later batches. This rule finds two mistakes: a session that copies a
// batch only when the batch is alone, and a session that still writes the batch to the wire from another goroutine.
func lentInPipeline(e *env) {
	a := e.appender()
	s := e.open(a)
	lent := e.lentBatches(a, 40)
	ahead := 3
	if l := a.Limits().InFlight; l > 0 {
		ahead = min(ahead, l)
	}
	var want [][]backend.Record
	acked := 0
	for i, b := range lent {
		want = append(want, deepCopy(b))
		e.send(s, uint64(i), b)
		for acked <= i && (i+1-acked >= ahead || i == len(lent)-1) {
			acked = e.giveBack(s, lent, acked, i+1)
		}
	}
	e.wantStored(want...)
	e.close("session", s)
	e.wantStored(want...)
}

// giveBack receives an ack and overwrites the memory of the batches that the ack covers. giveBack returns how many batches are
// acknowledged.
func (e *env) giveBack(s backend.Session, lent [][]backend.Record, acked, sent int) int {
	e.Helper()
	ack, err := e.tryRecv(e.Context(), s)
	if err != nil {
		e.Fatalf("recv of the ack of batch %d: %v", acked, err)
	}
	if ack.Seq < uint64(acked) || ack.Seq >= uint64(sent) {
		e.Fatalf("recv: ack of batch %d, but batches %d to %d are in flight", ack.Seq, acked, sent-1)
	}
	for _, b := range lent[acked : ack.Seq+1] {
		scribble(b)
	}
	return int(ack.Seq) + 1
}

// lentUntilClose: after Close a session does not read records. The producer sends the abandoned batch again from other memory, and
// overwrites the old memory.
func lentUntilClose(e *env) {
	a := e.appender()
	sent := e.lentBatches(a, 12)
	for i, b := range sent {
		lent := deepCopy(b)
		s := e.open(a)
		e.send(s, uint64(i), lent)
		e.close("session", s)
		scribble(lent)
		s = e.open(a)
		if _, err := e.pump(s, uint64(i), sent[i:i+1]); err != nil {
			e.Fatalf("resend of batch %d: %v", i, err)
		}
		e.close("session", s)
	}
	if e.h.Dedup {
		e.wantStored(sent...)
	} else {
		e.wantReplay(sent)
	}
}

// lentIsNotWritten: a session never changes lent records, because the batch may have to be sent again unchanged.
func lentIsNotWritten(e *env) {
	a := e.appender()
	s := e.open(a)
	lent := e.lentBatches(a, 3)
	for i, b := range lent {
		before := deepCopy(b)
		e.send(s, uint64(i), b)
		e.recv(s, uint64(i))
		for j := range b {
			r := b[j]
			if !bytes.Equal(r.Value, before[j].Value) || !sameHeaders(r.Headers, before[j].Headers) ||
				r.Offset != "" || r.Next != "" || !r.Time.Equal(before[j].Time) {
				e.Fatalf("record %d of batch %d was changed from %v to %v", j, i, before[j], r)
			}
		}
	}
}

// readIsNotRewritten: a reader never changes records that Read has returned. Users may keep messages, and a decoded value may
// share the record's memory, so a reader that reuses its buffer would change values of the user.
func readIsNotRewritten(e *env) {
	e.needSource()
	e.fill(100)
	r := e.openReader(backend.Earliest)
	var kept, copies []backend.Record
	for caught := false; !caught; {
		b := e.read(r)
		kept, copies = append(kept, b.Records...), append(copies, deepCopy(b.Records)...)
		caught = b.CaughtUp
	}
	more := e.batches(e.appender(), 10, 5)
	e.write(more...)
	e.readN(r, len(flat(more)))
	e.close("reader", r)
	e.from(backend.Earliest)
	for i := range kept {
		if !bytes.Equal(kept[i].Value, copies[i].Value) || !sameHeaders(kept[i].Headers, copies[i].Headers) ||
			kept[i].Offset != copies[i].Offset || kept[i].Next != copies[i].Next {
			e.Fatalf("record %d was read as %s at %q and is now %s at %q",
				i, short(copies[i].Value), copies[i].Offset, short(kept[i].Value), kept[i].Offset)
		}
	}
}
