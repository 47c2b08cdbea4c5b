package backend_test

import (
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

func TestHeadersLookup(t *testing.T) {
	h := backend.Headers{{Name: "a", Value: []byte("1")}, {Name: "b", Value: nil}, {Name: "a", Value: []byte("2")}}
	for _, test := range []struct {
		name, value string
		ok          bool
	}{{"a", "1", true}, {"b", "", true}, {"A", "", false}, {"", "", false}} {
		if v, ok := h.Lookup(test.name); string(v) != test.value || ok != test.ok {
			t.Errorf("Lookup(%q) = %q, %v", test.name, v, ok)
		}
	}
	if _, ok := backend.Headers(nil).Lookup("a"); ok {
		t.Error("no headers have one")
	}
}

func TestLimitsMeter(t *testing.T) {
	r := &backend.Record{Value: []byte("four"), Headers: backend.Headers{{Name: "not", Value: []byte("counted")}}}
	if n, err := (&backend.Limits{}).Meter(r); n != 4 || err != nil {
		t.Errorf("without Size: %d, %v", n, err)
	}
	door := &backend.Limits{RecordBytes: 1, Size: func(value []byte, _ backend.Headers, _ time.Time) (int, error) {
		if len(value) == 0 {
			return 0, backend.ErrRejected
		}
		return len(value) + 8, nil
	}}
	if n, err := door.Meter(r); n != 12 || err != nil {
		t.Errorf("with Size, and no comparison: %d, %v", n, err)
	}
	if _, err := door.Meter(&backend.Record{}); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("refused by Size: %v", err)
	}
}
