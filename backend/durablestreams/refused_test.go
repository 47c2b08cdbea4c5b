package durablestreams_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// A value that an option does not allow is told, not replaced by another, and nothing is sent.
func TestValuesThatOptionsDoNotAllowAreRefused(t *testing.T) {
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", r.Method)
		return status(r, http.StatusNoContent), nil
	})
	for name, o := range map[string]durablestreams.StreamOption{
		"BatchBytes(-1)": durablestreams.BatchBytes(-1), "InFlight(-1)": durablestreams.InFlight(-1), "BatchBytes(63)": durablestreams.BatchBytes(63), "nil": nil, "MessageBytes(-1)": durablestreams.MessageBytes(-1),
		"Epoch(-1)": durablestreams.Epoch(-1), `RequestHeader("a b")`: durablestreams.RequestHeader("a b", ""),
		`RequestHeader("a")`: durablestreams.RequestHeader("a", "1\n2"), `RequestQuery("offset")`: durablestreams.RequestQuery("offset", "1"),
	} {
		_, head := s.With(o).Head(t.Context())
		_, open := s.With(o).NewAppender(backend.Format{}).Open(t.Context())
		_, read := s.With(o).OpenReader(t.Context(), backend.Earliest)
		for _, err := range []error{head, open, read} {
			if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, o := range []durablestreams.AppendOption{
		durablestreams.Identity("a", -1, 0), durablestreams.Identity("a", 0, -1), durablestreams.Identity("", 0, 0), durablestreams.Identity("a", 1<<53, 0),
	} {
		_, appended := s.Append(t.Context(), "text/plain", []byte("x"), o)
		_, closed := s.SealWith(t.Context(), "text/plain", []byte("x"), o)
		for _, err := range []error{appended, closed} {
			if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "epoch") {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestErrorsNameTheStreamAndItsServer(t *testing.T) {
	s := answering(t, func(r *http.Request) (*http.Response, error) { return status(r, http.StatusNotFound), nil })
	_, head := s.Head(t.Context())
	_, open := s.NewAppender(backend.Format{}).Open(t.Context())
	_, read := s.OpenReader(t.Context(), backend.Earliest)
	_, appended := s.Append(t.Context(), "text/plain", []byte("x"))
	for _, err := range []error{head, open, read, appended} {
		if err == nil || !strings.Contains(err.Error(), `"s" at http://server: `) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

// Where the first offset and the name of the beginning are both refused, the offset is not what is wrong, and both answers are told.
func TestBadRequestOfTheFirstReadIsTold(t *testing.T) {
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("offset") == "-1" {
			return status(r, http.StatusNotFound), nil
		}
		return status(r, http.StatusBadRequest), nil
	})
	if _, err := s.OpenReader(t.Context(), backend.Earliest); !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "status 400") {
		t.Errorf("the first offset is refused: %v", err)
	}
	if _, err := s.OpenReader(t.Context(), backend.Latest); !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("the tail is refused: %v", err)
	}
}

// Cursors have no size: one beyond 2^53 is sent back as it came.
func TestLargeCursorIsSentBack(t *testing.T) {
	const large = "9007199254740993000"
	asked := ""
	s := answering(t, func(r *http.Request) (*http.Response, error) {
		asked = r.URL.Query().Get("cursor")
		answer := reply(r, "application/octet-stream", "", false)
		answer.Header.Set("Stream-Cursor", large)
		return answer, nil
	})
	r, err := s.OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if _, err := r.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked != large {
		t.Errorf("asked with cursor %q", asked)
	}
}
