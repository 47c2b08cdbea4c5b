package durablestreams_test

import (
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestHeadersAndParametersAreThoseOfOneStream(t *testing.T) {
	type seen struct{ trace, auth, tenant, key string }
	var got []seen
	c, _ := serveVia(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			got = append(got, seen{r.Header.Get("Traceparent"), r.Header.Get("Authorization"), q.Get("tenant"), q.Get("key")})
			h.ServeHTTP(w, r)
		})
	}, []durablestreams.Option{
		durablestreams.Header("Authorization", durablestreams.Static("everybody")),
		durablestreams.Query("key", durablestreams.Static("k")),
	})
	s := c.Stream("s", durablestreams.RequestQuery("tenant", "a"))
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	one := s.With(durablestreams.RequestHeader("Traceparent", "1"), durablestreams.RequestHeader("Authorization", "me"))
	two := s.With(durablestreams.RequestHeader("Traceparent", "2"), durablestreams.RequestQuery("tenant", "b"))
	if _, err := one.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	session := open(t, two.NewAppender(jsonFormat))
	send(t, session, 0)
	recv(t, session, 0)
	all(t, one, backend.Earliest)
	want := []seen{
		{"", "everybody", "a", "k"}, // Create
		{"1", "me", "a", "k"},       // Head
		{"2", "everybody", "b", "k"},
		{"2", "everybody", "b", "k"}, // the append
		{"1", "me", "a", "k"},        // the read
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("the requests were %v, want %v", got, want)
		}
	}
}
