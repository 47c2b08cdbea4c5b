package backendtest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// offer sends special records, each as a batch of its own between two ordinary records, and returns for each whether the store
// took the record. A record that was taken must be stored. A record that was not taken must have been refused with a fitting
// error. The ordinary records must be stored in both cases.
func (e *env) offer(special []backend.Record) (taken []bool, stored []backend.Record) {
	e.Helper()
	a := e.appender()
	s := e.open(a)
	var want []backend.Record
	seq := uint64(0)
	put := func(recs []backend.Record) (bool, error) {
		e.Helper()
		switch err := e.trySend(e.Context(), s, seq, recs); {
		case refusal(err):
			return false, err
		case err != nil:
			return false, e.reason(s)
		}
		if _, err := e.tryRecv(e.Context(), s); err != nil {
			return false, err
		}
		seq++
		want = append(want, recs...)
		return true, nil
	}
	ordinary := func() {
		e.Helper()
		if ok, err := put(e.batch(a, 1)); !ok {
			e.Fatalf("an ordinary record: %v", err)
		}
	}
	ordinary()
	for _, r := range special {
		l := a.Limits()
		_, err := l.Meter(&r)
		ok := false
		if err == nil {
			if ok, err = put([]backend.Record{r}); !ok {
				e.close("session", s)
				s = e.open(a)
			}
		}
		if !ok {
			e.wantIs(fmt.Sprintf("%s, refused", short(r.Value)), err, backend.ErrRejected, backend.ErrTooLarge, backend.ErrUnsupported)
		}
		taken = append(taken, ok)
		ordinary()
	}
	e.close("session", s)
	stored = e.stored()
	e.same("stored", stored, want)
	return taken, stored
}

// values: the store keeps every value unchanged, or refuses the value with an error. A store that uses frames, text or JSON on the
// way may change values that look like a frame, text or JSON, so the rule tries such values.
func values(e *env) {
	huge := 4 << 20
	if l := e.appender().Limits(); l.RecordBytes > 0 {
		huge = min(huge, l.RecordBytes)
		if l.BatchBytes > 0 {
			huge = min(huge, l.BatchBytes)
		}
	}
	a := e.appender()
	hugeRecord, ok := e.sized(a, huge)
	if !ok {
		hugeRecord = backend.Record{Value: e.h.Value(1, huge/2)}
	}
	names := []string{"empty", "empty", "binary", "binary", "array", "array", "object", "lines", "huge"}
	specials := []backend.Record{
		{}, {Value: []byte{}},
		{Value: []byte("\xff\xfe\x80 \xc3(")}, {Value: []byte{0, 0, 0, 5, 1, 0x28, 0xb5, 0x2f, 0xfd}}, // looks like a frame
		{Value: []byte(`[1,[2],"three"]`)}, {Value: []byte(`[]`)},
		{Value: []byte(`{"a": 1.0,"a":2}`)},
		{Value: []byte("a\r\nb\n\nc\x00\u2028d")},
		hugeRecord,
	}
	taken, _ := e.offer(specials)
	for i, name := range names {
		if may := slices.Contains(e.h.Refuses, name); !taken[i] && !may {
			e.Errorf("%s: %s was refused, and the harness does not say so", name, short(specials[i].Value))
		}
	}
}

// headers: a store keeps headers or refuses records with headers. Headers that are dropped silently would lose trace contexts and
// versions.
func headers(e *env) {
	r := e.record()
	r.Headers = backend.Headers{
		{Name: "b", Value: []byte("1")}, {Name: "a", Value: []byte("2")}, {Name: "b", Value: []byte("3")},
		{Name: "B", Value: []byte{0xff, 0, '\n'}}, {Name: "empty"},
	}
	taken, stored := e.offer([]backend.Record{r})
	if taken[0] != e.h.Headers {
		e.Fatalf("a record with headers was taken: %v; the harness says that they are kept: %v", taken[0], e.h.Headers)
	}
	if taken[0] && !slices.ContainsFunc(stored, func(s backend.Record) bool {
		return bytes.Equal(s.Value, r.Value) && sameHeaders(s.Headers, r.Headers)
	}) {
		e.Errorf("headers %q are gone", r.Headers)
	}
}

// times: records keep the time they were given, also a time in the past, and also times out of order if the store allows them. A
// record without a time gets a time from the store.
func times(e *env) {
	e.need(e.h.Times > 0, "the store does not keep the times it is given")
	base := time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.UTC).Truncate(e.h.Times)
	a := e.appender()
	b := e.batch(a, 4)
	for i := range b {
		hours := 3 - i // not in order
		if e.h.TimesAscend {
			hours = i
		}
		b[i].Time = base.Add(time.Duration(hours) * time.Hour).In(time.FixedZone("east", 3600))
	}
	unset := e.batch(a, 1)
	e.write(b, unset)
	stored := e.stored()
	e.same("stored", stored, append(b[:len(b):len(b)], unset...))
	for i := range b {
		if !stored[i].Time.Equal(b[i].Time) {
			e.Errorf("record %d has the time %v, want %v", i, stored[i].Time, b[i].Time)
		}
	}
	if stored[len(b)].Time.IsZero() {
		e.Error("a record without a time was not given one")
	}
}
