package backendtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend"
)

// Whatever happens at random, a plain loop that sends again what is unacknowledged, and reads on from the last Next, gets
// over it: exactly once where resends are known, in order with whole batches repeated where they are not.
func TestRandomFaultsAreGotOver(t *testing.T) {
	for seed := range uint64(40) {
		for _, dedup := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d, dedup %v", seed, dedup), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { getOver(t, seed, dedup) })
			})
		}
	}
}

func getOver(t *testing.T, seed uint64, dedup bool) {
	h := Harness{Open: func(testing.TB) Target {
		store := newToy()
		store.dedup = false
		store.limits.InFlight = 5
		return Target{Sink: store, Source: store}
	}, Dedup: dedup, Bubble: true, Seed: seed + 1}
	e := newEnv(realT{t}, h.complete())
	sink := NewFlakySink(e.Sink, Random(seed, 0.15))
	sink.Dedup = dedup
	a := sink.NewAppender(backend.Format{})
	batches := e.batches(a, 80, 3)
	for acked := 0; acked < len(batches); {
		s, err := a.Open(t.Context())
		if err != nil {
			e.wantRetry("open", err)
			continue
		}
		acks, err := pump(t.Context(), s, uint64(acked), batches[acked:])
		if err != nil {
			e.wantRetry("recv", err)
		}
		if len(acks) > 0 {
			acked = int(acks[len(acks)-1].Seq) + 1
		}
		s.Close()
	}
	if dedup {
		e.wantStored(batches...)
	} else {
		e.wantReplay(batches)
	}

	want := e.stored()
	source := NewFlakySource(e.Source, Random(seed, 0.3))
	var got []backend.Record
	at := backend.Earliest
	for caughtUp := false; !caughtUp; {
		r, err := source.OpenReader(t.Context(), at)
		for err == nil && !caughtUp {
			var b backend.Batch
			if b, err = r.Read(t.Context()); err == nil {
				got, at, caughtUp = append(got, b.Records...), b.Next, b.CaughtUp
			}
		}
		if r != nil {
			r.Close()
		}
		if err != nil && !errors.Is(err, backend.ErrTransient) {
			t.Fatal(err)
		}
	}
	e.same("read", got, want)
	var hits []string
	for name := range sink.Injected() {
		hits = append(hits, name)
	}
	if len(hits) < 3 || len(source.Injected()) < 2 {
		t.Errorf("too little went wrong: %s, %v", strings.Join(hits, " "), source.Injected())
	}
}
