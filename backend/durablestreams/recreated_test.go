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
	var old []backend.Offset
	for _, r := range all(t, s, backend.Earliest) {
		old = append(old, r.Next)
	}
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	ack, err := session.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old = append(old, ack.Next)
	recs := all(t, s, backend.Earliest)
	if last := recs[len(recs)-1].Next; last != ack.Next {
		t.Errorf("the ack says %q, a reader %q", ack.Next, last)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	write()
	write()
	for _, at := range old {
		if _, err := s.OpenReader(t.Context(), at); !errors.Is(err, backend.ErrOutOfRange) {
			t.Errorf("from %q: %v", at, err)
		}
	}
}
