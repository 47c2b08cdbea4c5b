package durablestreams_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestConformanceEnvelope(t *testing.T) {
	eachStore(t, func(t *testing.T, at place) {
		backendtest.Run(t, backendtest.Harness{
			Beside: at.beside,
			Open: func(t testing.TB) backendtest.Target {
				return at.target(t, "application/json", durablestreams.Envelope())
			},
			Format:      backend.Format{ContentType: "application/json"},
			OtherFormat: backend.Format{ContentType: "application/octet-stream"},
			Value: func(i, n int) []byte {
				v := fmt.Appendf(nil, `{"i":%d,"s":"`, i)
				return append(append(v, bytes.Repeat([]byte{'x'}, max(n-len(v)-2, 0))...), `"}`...)
			},
			Headers: true,
			Times:   time.Nanosecond,
			Dedup:   true,
			Refuses: []string{"empty", "binary", "object", "lines"},
			Late:    true,
		})
	})
}

func TestEnvelopeIsWhatOtherClientsSee(t *testing.T) {
	s := jsonStream(t, nil)
	r := backend.Record{
		Value:   []byte(`{"a":1.0}`),
		Headers: backend.Headers{{Name: "a\"b", Value: []byte("c\nd")}, {Name: "e", Value: []byte{0xff, 0}}},
		Time:    time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
	}
	want := `{"value":{"a":1.0},"headers":[{"name":"a\"b","value":"c\u000ad"},{"name":"e","base64":"/wA="}],"time":"2026-03-04T05:06:07.000000008Z"}`
	a := s.With(durablestreams.Envelope()).NewAppender(jsonFormat)
	session := open(t, a)
	if err := session.Send(t.Context(), 0, []backend.Record{r}); err != nil {
		t.Fatal(err)
	}
	recv(t, session, 0)
	wantStored(t, s, want)
	limits := a.Limits()
	if n, err := limits.Meter(&r); err != nil || n != len(want)+1 {
		t.Errorf("metered as %d, %v; want its length and a comma, %d", n, err, len(want)+1)
	}
}

// Streams hold what was written before the option was given, and what others write.
func TestMessageWithoutAnEnvelopeComesAsItIs(t *testing.T) {
	s := jsonStream(t, nil, durablestreams.Envelope())
	for _, m := range []string{
		`1`, `"value"`, `{"value":1}`, `{"value":1,"time":"yesterday"}`, `{"value":1,"time":"2026-03-04T05:06:07Z","unit":"s"}`, `null`,
		`{"Value":1,"time":"2026-03-04T05:06:07Z"}`, `{"value":1,"TIME":"2026-03-04T05:06:07Z"}`, // members of other names
		`{"value":1,"value":2,"time":"2026-03-04T05:06:07Z"}`, `{"value":1,"time":"2026-03-04T05:06:07Z","time":"2026-03-04T05:06:08Z"}`,
		`{"value":1,"time":null}`, `{"value":1,"headers":null,"time":"2026-03-04T05:06:07Z"}`, `[{"value":1,"time":"2026-03-04T05:06:07Z"}]`,
		`{"value":1,"headers":[{"Name":"a","value":"b"}],"time":"2026-03-04T05:06:07Z"}`,
		`{"value":1,"headers":[{"name":"a","value":"b","unit":"s"}],"time":"2026-03-04T05:06:07Z"}`,
		`{"value":1,"headers":[{"name":"a","value":"b","base64":"Yg=="}],"time":"2026-03-04T05:06:07Z"}`,
		`{"value":1,"headers":[{"name":"a"}],"time":"2026-03-04T05:06:07Z"}`, `{"value":1,"headers":[{"value":"b"}],"time":"2026-03-04T05:06:07Z"}`,
		`{"value":1,"headers":[{"name":"a","value":null}],"time":"2026-03-04T05:06:07Z"}`, `{"value":1,"headers":[null],"time":"2026-03-04T05:06:07Z"}`,
		`{"value":1,"headers":[{"name":"a","base64":"?"}],"time":"2026-03-04T05:06:07Z"}`,
	} {
		if _, err := s.Append(t.Context(), "application/json", []byte("["+m+"]")); err != nil {
			t.Fatal(err)
		}
		recs := all(t, s, backend.Earliest)
		if got := recs[len(recs)-1]; string(got.Value) != m || !got.Time.IsZero() {
			t.Errorf("%s came as %s of %v", m, got.Value, got.Time)
		}
	}
	if _, err := s.Append(t.Context(), "application/json", []byte(`{"time":"2026-03-04T06:06:07+01:00","value":null}`)); err != nil {
		t.Fatal(err)
	}
	recs := all(t, s, backend.Earliest)
	if got := recs[len(recs)-1]; string(got.Value) != "null" || !got.Time.Equal(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)) {
		t.Errorf("an envelope came as %s of %v", got.Value, got.Time)
	}
}
