package backendtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// toyHarness claims all that the toy can do.
func toyHarness(bug string) Harness {
	var shared *toy
	return Harness{
		Open: func(t testing.TB) Target {
			s := newToy()
			s.bug, s.bad = bug, "bad"
			if shared != nil && s.is("has one stream only") {
				s = shared
			}
			shared = s
			s.limits = backend.Limits{BatchRecords: 50, BatchBytes: 4000, RecordBytes: 1000, InFlight: 4}
			missing := newToy()
			missing.bug, missing.missing = bug, true
			return Target{
				Sink: s, Source: s, Break: s.Break, Finish: s.Finish, Trim: s.Trim,
				Restart: func(testing.TB) Target {
					if s.is("restarts without the last record") {
						s.recs = s.recs[:len(s.recs)-1]
					}
					return Target{Sink: s, Source: s}
				},
				MissingSink: missing, MissingSource: missing,
			}
		},
		Bubble:      true,
		OtherFormat: backend.Format{ContentType: "text/plain"},
		Headers:     true,
		Times:       time.Nanosecond,
		Offsets:     true,
		Dedup:       true,
		Last:        true,
		AtTime:      true,
		Refused:     func() backend.Record { return backend.Record{Value: []byte("bad")} },
	}
}

// forgetful makes the toy store a resend again.
func forgetful(h Harness) Harness {
	h.Dedup = false
	open := h.Open
	h.Open = func(t testing.TB) Target {
		target := open(t)
		target.Sink.(*toy).dedup = false
		return target
	}
	return h
}

// single makes the toy have one writer.
func single(h Harness) Harness {
	h.Exclusive = true
	open := h.Open
	h.Open = func(t testing.TB) Target {
		target := open(t)
		target.Sink.(*toy).single = true
		return target
	}
	return h
}

func TestExclusiveToy(t *testing.T) { Run(t, single(toyHarness(""))) }

func TestToy(t *testing.T) { Run(t, toyHarness("")) }

// A refusal in Send need not end the session, behind the wrapper either.
func TestToyThatRefusesInSendAndGoesOn(t *testing.T) {
	for _, flaky := range []bool{false, true} {
		t.Run(fmt.Sprintf("flaky %v", flaky), func(t *testing.T) {
			h := forgetful(toyHarness(""))
			open := h.Open
			h.Open = func(t testing.TB) Target {
				target := open(t)
				target.Sink.(*toy).picky = true
				if flaky {
					target.Sink = NewFlakySink(target.Sink)
				}
				return target
			}
			Run(t, h)
		})
	}
}

func TestToyOutsideOfABubble(t *testing.T) {
	h := toyHarness("")
	h.Bubble = false
	Run(t, h)
}

// A store that can do as little as a store may.
func TestModestToy(t *testing.T) {
	Run(t, Harness{
		Open: func(t testing.TB) Target {
			s := newToy()
			s.dedup = false
			s.limits.Size = func(value []byte, headers backend.Headers, _ time.Time) (int, error) {
				if len(headers) > 0 {
					return 0, backend.ErrRejected
				}
				return len(value), nil
			}
			return Target{Sink: s, Stored: func() ([]backend.Record, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				return deepCopy(s.recs), nil
			}}
		},
		Bubble: true,
	})
}

// A wrapper without faults is a backend like any other, and Break is what it adds to one that has no connections.
func TestFlakyKeepsTheContract(t *testing.T) {
	for _, dedup := range []bool{false, true} {
		t.Run(fmt.Sprintf("dedup %v", dedup), func(t *testing.T) {
			h := toyHarness("")
			below := h.Open
			h.Dedup = dedup
			h.Open = func(t testing.TB) Target {
				target := below(t)
				target.Sink.(*toy).dedup = false
				sink, source := NewFlakySink(target.Sink), NewFlakySource(target.Source)
				sink.Dedup = dedup
				return Target{
					Sink: sink, Source: source, Finish: target.Finish, Trim: target.Trim,
					MissingSink: NewFlakySink(target.MissingSink), MissingSource: NewFlakySource(target.MissingSource),
					Break: func() { sink.Break(nil); source.Break(nil) },
				}
			}
			Run(t, h)
		})
	}
}

// The adapter for stores with one blocking call an append, over a slice.
func TestSerial(t *testing.T) {
	for _, bubble := range []bool{false, true} {
		t.Run(fmt.Sprintf("bubble %v", bubble), func(t *testing.T) {
			Run(t, Harness{Open: openSerial, Bubble: bubble, Headers: true})
		})
	}
}

func openSerial(testing.TB) Target {
	const recordBytes = 100_000
	var mu sync.Mutex
	var recs []backend.Record
	limits := backend.Limits{BatchRecords: 100, RecordBytes: recordBytes}
	add := func(ctx context.Context, _ uint64, batch []backend.Record) (backend.Ack, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(batch) > limits.BatchRecords {
			return backend.Ack{}, backend.ErrTooLarge
		}
		for i := range batch {
			if len(batch[i].Value) > recordBytes {
				return backend.Ack{}, &backend.RecordError{Index: i, Err: backend.ErrTooLarge}
			}
		}
		recs = append(recs, deepCopy(batch)...)
		return backend.Ack{}, nil
	}
	return Target{
		Sink: backend.Serial(limits, add),
		Stored: func() ([]backend.Record, error) {
			mu.Lock()
			defer mu.Unlock()
			return deepCopy(recs), nil
		},
	}
}

// A store may only know that it was one of the batches under way.
func TestRefusalOfOneOfThem(t *testing.T) {
	h := toyHarness("")
	h.Dedup = false
	h.Open = func(t testing.TB) Target {
		s := newToy()
		bad := func(r *backend.Record) bool { return string(r.Value) == "bad" }
		return Target{
			Sink:   NewFlakySink(s, RefuseUnnamed(bad, fmt.Errorf("%w: %w", backend.ErrRejected, backend.ErrIndeterminate))),
			Source: s,
		}
	}
	Run(t, h)
}

// Values may have to be of a certain form.
func TestValuesOfTheHarness(t *testing.T) {
	h := toyHarness("")
	open := h.Open
	h.Open = func(t testing.TB) Target {
		target := open(t)
		target.Sink.(*toy).limits.Size = func(value []byte, _ backend.Headers, _ time.Time) (int, error) {
			if !json.Valid(value) || value[0] == '[' {
				return 0, backend.ErrRejected
			}
			return len(value) + 7, nil
		}
		return target
	}
	h.Refused = nil
	h.Refuses = []string{"empty", "binary", "array", "lines"}
	h.Value = func(i, n int) []byte {
		return fmt.Appendf(nil, `{"i":%06d,"x":"%s"}`, 100000+i, strings.Repeat("x", max(n-19, 0)))
	}
	Run(t, h)
}
