package durablestreams_test

import (
	"errors"
	"testing"

	"github.com/headrace/headrace/backend"
)

// A place of a deleted stream is no place of the next one of its name, however long that is.
func TestPlaceOfDeletedStreamIsOutOfRange(t *testing.T) {
	s := jsonStream(t, nil)
	write := func() {
		if _, err := s.Append(t.Context(), "application/json", []byte("[1,2,3]")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), "application/json", []byte("[4,5,6]")); err != nil {
			t.Fatal(err)
		}
	}
	write()
	old := all(t, s, backend.Earliest)
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	write()
	for _, r := range old {
		if _, err := s.OpenReader(t.Context(), r.Next); !errors.Is(err, backend.ErrOutOfRange) {
			t.Errorf("from %q: %v", r.Next, err)
		}
	}
}
