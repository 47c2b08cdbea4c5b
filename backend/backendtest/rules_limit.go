package backendtest

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Larger limits are not tried, because a test must fit into memory.
const (
	mostRecords = 200_000
	mostBytes   = 64 << 20
)

// sized makes a record of exactly n bytes by the store's meter. sized returns false when the harness's values cannot have that
// size. The meter adds an overhead that we do not know, so we try several lengths of the value.
func (e *env) sized(a backend.Appender, n int) (backend.Record, bool) {
	e.count++
	l := a.Limits()
	size := n
	for range 8 {
		if size < 0 {
			break
		}
		r := backend.Record{Value: e.h.Value(e.count, size)}
		m, err := l.Meter(&r)
		switch {
		case m == n && err == nil:
			return r, true
		case m == n || err != nil: // Limits.Size refuses the record already
			return r, errors.Is(err, backend.ErrTooLarge)
		}
		size += n - m
	}
	return backend.Record{}, false
}

// atLimit sends three batches: one less than the limit, the limit, and one more. The store must refuse the third batch and must
// store nothing of the third batch. make makes a batch for a given size.
func (e *env) atLimit(name string, limit int, make func(a backend.Appender, n int) ([]backend.Record, bool)) {
	e.Helper()
	a := e.appender()
	s := e.open(a)
	var want [][]backend.Record
	put := func(b []backend.Record) {
		e.Helper()
		acks, err := e.pump(s, uint64(len(want)), [][]backend.Record{b})
		if err != nil || len(acks) != 1 {
			e.Fatalf("recv: %v", err)
		}
		want = append(want, b)
	}
	for _, n := range []int{limit - 1, limit} {
		if n == 0 {
			continue
		}
		b, ok := make(a, n)
		e.need(ok, fmt.Sprintf("the harness's values cannot come to %s = %d", name, n))
		put(b)
	}
	b, ok := make(a, limit+1)
	e.need(ok, fmt.Sprintf("the harness's values cannot come to %s = %d", name, limit+1))
	refused := e.sizeRefusal(a, b)
	if refused == nil {
		refused = e.trySend(e.Context(), s, uint64(len(want)), b)
		if !refusal(refused) {
			refused = e.reason(s)
		}
		e.close("session", s)
		s = e.open(a)
	}
	e.wantIs(fmt.Sprintf("%s = %d and a batch of %d", name, limit, limit+1), refused, backend.ErrTooLarge)
	put(e.batch(a, 2))
	e.wantStored(want...)
}

// sizeRefusal returns the error of Limits.Size for the first record that Limits.Size refuses, or nil.
func (e *env) sizeRefusal(a backend.Appender, b []backend.Record) error {
	l := a.Limits()
	for i := range b {
		if _, err := l.Meter(&b[i]); err != nil {
			return err
		}
	}
	return nil
}

// limitBatchRecords: the limit is exact. A producer cuts batches at the limit; a limit that is wrong by one would cause a refusal
// for every full batch.
func limitBatchRecords(e *env) {
	l := e.limitsOnceOpen()
	e.need(l.BatchRecords > 0, "there is no limit of BatchRecords")
	e.need(l.BatchRecords <= mostRecords, "BatchRecords is too many to try")
	e.atLimit("BatchRecords", l.BatchRecords, func(_ backend.Appender, n int) ([]backend.Record, bool) {
		recs := make([]backend.Record, n)
		size := 0
		for i := range recs {
			e.count++
			recs[i].Value = e.h.Value(e.count, 8)
			m, err := l.Meter(&recs[i])
			if size += m; err != nil || l.BatchBytes > 0 && size > l.BatchBytes {
				return nil, false
			}
		}
		return recs, true
	})
}

// limitBatchBytes: the limit is exact by the store's own meter, overhead included. Clients and servers often disagree about the
// overhead.
func limitBatchBytes(e *env) {
	l := e.limitsOnceOpen()
	e.need(l.BatchBytes > 0, "there is no limit of BatchBytes")
	e.need(l.BatchBytes <= mostBytes, "BatchBytes is too many to try")
	e.atLimit("BatchBytes", l.BatchBytes, func(a backend.Appender, n int) ([]backend.Record, bool) {
		most := n
		if l.BatchRecords != 1 {
			most = n/2 + 1 // two records or more, so that the batch is too large and not a single record
		}
		if l.RecordBytes > 0 {
			most = min(most, l.RecordBytes)
		}
		var recs []backend.Record
		for left := n; left > 0; {
			part := min(left, most)
			if rest := left - part; rest > 0 && rest < most/2 { // no value may be small enough for a very small rest
				part = left / 2
			}
			r, ok := e.sized(a, part)
			if !ok || l.BatchRecords > 0 && len(recs) == l.BatchRecords {
				return nil, false
			}
			recs = append(recs, r)
			left -= part
		}
		return recs, true
	})
}

// limitRecordBytes: the store takes a record at the limit, and a larger record fails alone.
func limitRecordBytes(e *env) {
	l := e.limitsOnceOpen()
	e.need(l.RecordBytes > 0, "there is no limit of RecordBytes")
	e.need(l.RecordBytes <= mostBytes, "RecordBytes is too many to try")
	e.atLimit("RecordBytes", l.RecordBytes, func(a backend.Appender, n int) ([]backend.Record, bool) {
		r, ok := e.sized(a, n)
		return []backend.Record{r}, ok
	})
}

// limitsOnceOpen returns the limits after an opening, because an opening may change the limits.
func (e *env) limitsOnceOpen() backend.Limits {
	e.Helper()
	a := e.appender()
	e.close("session", e.open(a))
	return a.Limits()
}

// refused makes a record that passes Limits, but that the store refuses.
func (e *env) refused(a backend.Appender) backend.Record {
	e.Helper()
	if e.h.Refused != nil {
		return e.h.Refused()
	}
	l := a.Limits()
	e.need(l.RecordBytes > 0 && l.RecordBytes <= mostBytes, "the harness gives no Refused and there is no limit of RecordBytes to exceed")
	r, ok := e.sized(a, l.RecordBytes+1)
	e.need(ok, "the harness's values cannot exceed RecordBytes by one")
	return r
}

// refusalFreesSeqs sends five batches, and the store refuses the third. Afterwards the seq of the third batch and all later seqs
// are free: the producer sends other batches under these seqs.
func refusalFreesSeqs(e *env) {
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 5, 2)
	good := b[2]
	bad := append(good[:len(good):len(good)], e.refused(a))
	acks, reason := e.pump(s, 0, [][]backend.Record{b[0], b[1], bad, b[3], b[4]})
	e.wantIs("recv", reason, backend.ErrRejected, backend.ErrTooLarge)
	var named *backend.RecordError
	if errors.As(reason, &named) && named.Index != len(good) {
		e.Errorf("record %d is named, want %d: %v", named.Index, len(good), reason)
	}
	acked := uint64(0)
	if len(acks) > 0 {
		acked = acks[len(acks)-1].Seq + 1
	}
	switch unsure := errors.Is(reason, backend.ErrIndeterminate); {
	case acked > 2:
		e.Fatalf("%d batches were acknowledged, the refused third among them", acked)
	case acked < 2 && !unsure:
		e.Fatalf("recv: %v, which is about batch %d; the refused batch was batch 2", reason, acked)
	}
	e.close("session", s)
	for ; acked < 2; acked++ { // one at a time, like a producer that does not know which batch was refused
		s = e.open(a)
		if _, err := e.pump(s, acked, b[acked:acked+1]); err != nil {
			e.Fatalf("batch %d alone: %v", acked, err)
		}
		e.close("session", s)
	}
	other := [][]backend.Record{b[0], b[1], good, e.batch(a, 2), b[3], b[4]}
	if _, err := e.pump(e.open(a), 2, other[2:]); err != nil {
		e.Fatalf("other batches under the seqs that are free: %v", err)
	}
	e.wantResent(reason, other)
}
