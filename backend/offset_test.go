package backend_test

import (
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

func TestLast(t *testing.T) {
	for _, test := range []struct {
		n    int
		want backend.Offset
	}{
		{1, "@last:1"},
		{1000, "@last:1000"},
		{0, backend.Latest},
		{-7, backend.Latest},
	} {
		got := backend.Last(test.n)
		if got != test.want || !got.Relative() {
			t.Errorf("Last(%d) = %q, want %q", test.n, got, test.want)
		}
		if n, ok := got.LastN(); test.n > 0 && (!ok || n != test.n) {
			t.Errorf("%q.LastN() = %d, %v", got, n, ok)
		}
	}
}

func TestLastNRefuses(t *testing.T) {
	for _, o := range []backend.Offset{
		"", "@latest", "@earliest", "@last:", "@last:0", "@last:-1", "@last:x", "@last:1.5", "@last: 1", "@last:99999999999999999999",
		"last:1", "1",
	} {
		if n, ok := o.LastN(); ok || n != 0 {
			t.Errorf("%q.LastN() = %d, %v", o, n, ok)
		}
	}
}

func TestAtTime(t *testing.T) {
	east := time.FixedZone("east", 5*3600)
	for _, at := range []time.Time{
		time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC),
		time.Date(2026, 2, 3, 4, 5, 6, 0, east),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	} {
		o := backend.AtTime(at)
		if got, ok := o.Since(); !ok || !got.Equal(at) || !o.Relative() {
			t.Errorf("%q.Since() = %v, %v, want %v", o, got, ok, at)
		}
		if o != backend.AtTime(at.UTC()) {
			t.Errorf("one moment is %q and %q", o, backend.AtTime(at.UTC()))
		}
	}
}

func TestSinceRefuses(t *testing.T) {
	for _, o := range []backend.Offset{"", "@latest", "@last:1", "@time:", "@time:yesterday", "@time:2026-02-30T00:00:00Z", "@time:1767225600"} {
		if at, ok := o.Since(); ok || !at.IsZero() {
			t.Errorf("%q.Since() = %v, %v", o, at, ok)
		}
	}
}

func TestRelative(t *testing.T) {
	for o, want := range map[backend.Offset]bool{
		backend.Earliest: true, backend.Latest: true, "@of a backend": true, "": false, "0": false, "a@b": false,
	} {
		if o.Relative() != want {
			t.Errorf("%q.Relative() = %v", o, !want)
		}
	}
}

// An offset may come from a checkpoint that anybody wrote: it parses as one start or none, and never panics.
func FuzzOffset(f *testing.F) {
	for _, o := range []backend.Offset{"", backend.Earliest, backend.Latest, backend.Last(3), backend.AtTime(time.Unix(1, 2)), "@last:+1", "@time:"} {
		f.Add(string(o))
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := backend.Offset(s)
		n, last := o.LastN()
		at, since := o.Since()
		if last && since || (last || since) && !o.Relative() {
			t.Fatalf("%q is several things", o)
		}
		if back, ok := backend.Last(n).LastN(); last && (!ok || back != n || n <= 0) {
			t.Fatalf("%q is Last(%d), which is %d", o, n, back)
		}
		if back, ok := backend.AtTime(at).Since(); since && at.UTC().Year() <= 9999 && at.UTC().Year() >= 0 && (!ok || !back.Equal(at)) {
			t.Fatalf("%q is AtTime(%v), which is %v", o, at, back)
		}
	})
}
