package backend_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

type busy struct{ after time.Duration }

func (b busy) Error() string             { return "busy" }
func (b busy) RetryAfter() time.Duration { return b.after }

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want time.Duration
	}{
		{"nil", nil, 0},
		{"none", errors.New("no"), 0},
		{"itself", busy{time.Second}, time.Second},
		{"negative", busy{-time.Second}, 0},
		{"wrapped twice", fmt.Errorf("append: %w: %w", backend.ErrTransient, busy{time.Minute}), time.Minute},
		{"in a RecordError", &backend.RecordError{Index: 1, Err: busy{time.Hour}}, time.Hour},
		{"the first of two", errors.Join(busy{1}, busy{2}), 1},
	} {
		if got := backend.RetryAfter(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

type moved bool

func (moved) Error() string   { return "moved" }
func (m moved) Routine() bool { return bool(m) }

func TestRoutine(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"does not say", backend.ErrTransient, false},
		{"says no", moved(false), false},
		{"deep", fmt.Errorf("read: %w: %w", backend.ErrTransient, moved(true)), true},
	} {
		if got := backend.Routine(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestRecordError(t *testing.T) {
	cause := fmt.Errorf("%w: no such column", backend.ErrRejected)
	err := fmt.Errorf("store: append: %w", &backend.RecordError{Index: 7, Err: cause})
	var named *backend.RecordError
	if !errors.As(err, &named) || named.Index != 7 {
		t.Errorf("%v names %v", err, named)
	}
	if !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("%v is of the wrong class", err)
	}
	if got, want := err.Error(), "store: append: record 7: rejected: no such column"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSentinelsAreApart(t *testing.T) {
	all := []error{
		backend.ErrTransient, backend.ErrIndeterminate, backend.ErrRejected, backend.ErrTooLarge, backend.ErrFenced, backend.ErrConflict,
		backend.ErrOutOfRange, backend.ErrNotFound, backend.ErrUnauthorized, backend.ErrUnsupported, backend.ErrStreamClosed, backend.ErrClosed,
	}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("%v is %v: %v", a, b, i != j)
			}
		}
	}
	if !errors.Is(backend.ErrUnsupported, errors.ErrUnsupported) {
		t.Error("ErrUnsupported does not wrap the one of package errors")
	}
}
