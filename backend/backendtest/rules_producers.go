package backendtest

import (
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// producersInTurn: producers may take turns on a Sink. A restarted process is a new producer, and an old producer may come back.
func producersInTurn(e *env) {
	a, b := e.appender(), e.appender()
	first, second := e.batches(a, 4, 3), e.batches(b, 4, 3)
	var want [][]backend.Record
	for i := uint64(0); i < 4; i += 2 {
		for _, p := range []struct {
			a backend.Appender
			b [][]backend.Record
		}{{a, first}, {b, second}} {
			if e.h.Exclusive && i > 0 {
				p.a, p.b = e.appender(), e.batches(a, 2, 3) // older producers have lost their place
			} else {
				p.b = p.b[i : i+2]
			}
			seq := i
			if e.h.Exclusive {
				seq = 0
			}
			s := e.open(p.a)
			if _, err := e.pump(s, seq, p.b); err != nil {
				e.Fatal(err)
			}
			e.close("session", s)
			want = append(want, p.b...)
		}
	}
	e.wantStored(want...)
}

// producersAtOnce: the records of each producer stay in order. Between producers there is no order.
func producersAtOnce(e *env) {
	e.need(!e.h.Exclusive, "the stream has one writer")
	const producers, batches = 4, 25
	sent := make([][][]backend.Record, producers)
	sessions := make([]backend.Session, producers)
	for p := range producers { // all sessions are open before the first batch; otherwise a producer might finish before another begins
		a := e.appender()
		sent[p], sessions[p] = e.batches(a, batches, 4), e.open(a)
	}
	errs := make([]error, producers)
	var all sync.WaitGroup
	for p, s := range sessions {
		all.Go(func() { _, errs[p] = pump(e.Context(), s, 0, sent[p]) })
	}
	e.within("writing by several at once", all.Wait)
	owner := make(map[string]int)
	for p := range producers {
		if errs[p] != nil {
			e.Fatalf("producer %d: %v", p, errs[p])
		}
		for _, r := range flat(sent[p]) {
			owner[string(r.Value)] = p
		}
	}
	got := make([][]backend.Record, producers)
	for _, r := range e.stored() {
		p, ok := owner[string(r.Value)]
		if !ok {
			e.Fatalf("stored: %s, which nobody sent", short(r.Value))
		}
		got[p] = append(got[p], r)
	}
	for p := range producers {
		e.same(fmt.Sprintf("stored of producer %d", p), got[p], flat(sent[p]))
	}
}

// producersAfterFatal: a fatal error of a producer does not disturb other producers.
func producersAfterFatal(e *env) {
	a := e.appender()
	s := e.open(a)
	first := e.batches(a, 3, 3)
	if _, err := e.pump(s, 0, first); err != nil {
		e.Fatal(err)
	}
	e.trySend(e.Context(), s, 0, first[0])
	e.wantIs("recv", e.reason(s), backend.ErrConflict)
	// The session that failed is not closed yet. Another producer must not have to wait for its Close.
	second := e.batches(a, 3, 3)
	e.write(second...)
	e.close("session", s)
	third := e.batches(a, 2, 3)
	e.write(third...)
	e.wantStored(append(append(first, second...), third...)...)
}

// exclusive: a newer producer works at once. The older producer gets an error and stores nothing between the newer records.
func exclusive(e *env) {
	e.need(e.h.Exclusive, "the stream takes any number of producers")
	a := e.appender()
	s := e.open(a)
	first := e.batches(a, 3, 3)
	if _, err := e.pump(s, 0, first[:2]); err != nil {
		e.Fatal(err)
	}
	second := e.batches(a, 2, 3)
	e.write(second...)
	_, reason := e.pump(s, 2, first[2:])
	e.wantIs("recv by the older", reason, backend.ErrFenced, backend.ErrConflict)
	e.close("session", s)
	if s, err := e.tryOpen(e.Context(), a); err == nil {
		_, err = e.pump(s, 2, first[2:])
		e.wantIs("the older, opened again", err, backend.ErrFenced, backend.ErrConflict)
	} else {
		e.wantIs("the older, opened again", err, backend.ErrFenced, backend.ErrConflict)
	}
	e.wantStored(append(first[:2:2], second...)...)
}
