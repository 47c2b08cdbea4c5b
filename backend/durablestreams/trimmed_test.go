package durablestreams_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// trimmed makes a stream of which the server has dropped the beginning, and continues to with every append.
func trimmed(t *testing.T, contentType string, via func(http.Handler) http.Handler) *durablestreams.Stream {
	t.Helper()
	store := server.NewMemory(server.Retain(1000))
	h := httptest.NewServer(via(durablestreamstest.Handler(store)))
	c, err := durablestreams.New(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		h.CloseClientConnections()
		h.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s := c.Stream("s")
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	fillTrimmed(t, s, contentType)
	return s
}

func fillTrimmed(t *testing.T, s *durablestreams.Stream, contentType string) {
	t.Helper()
	session := open(t, s.NewAppender(backend.Format{ContentType: contentType}))
	defer session.Close()
	for seq := range 30 {
		recs := make([]backend.Record, 5)
		for i := range recs {
			recs[i].Value = fmt.Appendf(nil, `"batch %d, record %d"`, seq, i)
		}
		if err := session.Send(t.Context(), uint64(seq), recs); err != nil {
			t.Fatal(err)
		}
		recv(t, session, seq)
	}
}

// Our server says where a response to "-1" begins, so the places within the first response of a trimmed stream are places
// like any other: each is good for as long as what it names is kept, and out of range afterwards.
func TestPlacesWithinATrimmedStream(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/octet-stream"} {
		t.Run(contentType, func(t *testing.T) {
			s := trimmed(t, contentType, func(h http.Handler) http.Handler { return h })
			recs := all(t, s, backend.Earliest)
			if len(recs) < 10 || len(recs) == 150 || !strings.HasSuffix(string(recs[0].Value), `record 0"`) {
				t.Fatalf("%d records, the first of which is %s", len(recs), recs[0].Value)
			}
			for i, r := range recs {
				if rest := joined(all(t, s, r.Offset)); rest != joined(recs[i:]) {
					t.Errorf("from record %d at %q: %q", i, r.Offset, rest)
				}
				if rest := joined(all(t, s, r.Next)); rest != joined(recs[i+1:]) {
					t.Errorf("behind record %d at %q: %q", i, r.Next, rest)
				}
			}
			fillTrimmed(t, s, contentType) // all those are dropped now
			for _, r := range recs {
				if _, err := s.OpenReader(t.Context(), r.Offset); !errors.Is(err, backend.ErrOutOfRange) || !errors.Is(err, durablestreams.ErrGone) {
					t.Errorf("from %q, which is dropped: %v", r.Offset, err)
				}
			}
		})
	}
}

// bare serves as h does, without a header that only our server has.
type bare struct {
	http.ResponseWriter
	start string
}

func (b bare) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b bare) WriteHeader(status int) {
	if b.Header().Get("Headrace-Start-Offset") != "" {
		b.Header()["Headrace-Start-Offset"] = []string{b.start}
	}
	b.ResponseWriter.WriteHeader(status)
}

// Without that header the places within the first response cannot be kept: they are refused, rather than found somewhere
// else, and the one behind it is good.
func TestPlacesBehindAnUnknownBeginning(t *testing.T) {
	s := trimmed(t, "application/json", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(bare{w, ""}, r) })
	})
	recs := all(t, s, backend.Earliest)
	for _, r := range recs {
		if _, err := s.OpenReader(t.Context(), r.Offset); !errors.Is(err, backend.ErrOutOfRange) {
			t.Errorf("from %q: %v", r.Offset, err)
		}
	}
	if rest := all(t, s, recs[len(recs)-1].Next); len(rest) > 0 {
		t.Errorf("%d records behind the last", len(rest))
	}
}

func TestStartThatIsNoPlaceIsMalformed(t *testing.T) {
	for _, start := range []string{"now", "a/b", "9999999999999999_9999999999999999"} {
		s := trimmed(t, "application/json", func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(bare{w, start}, r) })
		})
		if _, err := s.OpenReader(t.Context(), backend.Earliest); !isProtocolError(err) {
			t.Errorf("%s: %v", start, err)
		}
	}
}
