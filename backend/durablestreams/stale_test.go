package durablestreams_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
)

// An answer that lies behind an earlier answer to the same reader is asked for again. A reader that was begun there is told that
// the place is beyond the tail.
func TestStaleAnswerIsAskedForAgain(t *testing.T) {
	var reads atomic.Int64
	var stale atomic.Bool
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodGet || !(reads.Add(1) == 2 || stale.Load()) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Stream-Next-Offset", "0")
		w.Header().Set("Stream-Up-To-Date", "true")
		_, _ = io.WriteString(w, "[]")
		return true
	})
	if _, err := s.Append(t.Context(), "application/json", []byte("[1]")); err != nil {
		t.Fatal(err)
	}
	rd, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	b, err := rd.Read(t.Context())
	if err != nil || len(b.Records) != 1 {
		t.Fatal(b, err)
	}
	if _, err := s.Append(t.Context(), "application/json", []byte("[2]")); err != nil {
		t.Fatal(err)
	}
	next, err := rd.Read(t.Context())
	if err != nil || len(next.Records) != 1 || reads.Load() < 3 {
		t.Errorf("%v, %v after %d requests", next, err, reads.Load())
	}
	stale.Store(true)
	late, err := s.OpenReader(t.Context(), b.Next)
	if err == nil {
		defer late.Close()
		_, err = late.Read(t.Context())
	}
	if !errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), "beyond the tail") {
		t.Errorf("a reader that begins beyond the tail: %v", err)
	}
}
