package s2_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestTrimTakesPlacesInTheStreamAndNoOthers(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.TrimDelay(0), s2test.PurgeAfter(0))
	c := dial(t, srv)
	st := c.Basin(basinName).Stream(streamName())
	first := func() backend.Offset {
		t.Helper()
		got, err := st.Read(t.Context(), s2.Range{From: backend.Earliest, Count: 1})
		check(t, err)
		return got.Records[0].Offset
	}
	put(t, st, "0", "1", "2", "3")
	read := next(t, open(t, st, backend.Earliest))
	check(t, st.Trim(t.Context(), backend.Earliest))
	if at := first(); at != "0" {
		t.Errorf("the stream begins at %s after a trim of nothing", at)
	}
	check(t, st.Trim(t.Context(), read.Records[1].Next)) // with the mark of the stream
	if at := first(); at != "2" {
		t.Errorf("the stream begins at %s, want 2", at)
	}
	check(t, st.Trim(t.Context(), "1")) // is trimmed already
	check(t, st.Trim(t.Context(), "3"))
	if at := first(); at != "3" {
		t.Errorf("the stream begins at %s, want 3", at)
	}
	for _, bad := range []backend.Offset{"99", "00", "x", ""} {
		if err := st.Trim(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "trim "+basinName+"/"+st.Name()) {
			t.Errorf("%q: %v", bad, err)
		} else {
			want(t, err, backend.ErrOutOfRange)
		}
	}
	check(t, st.Trim(t.Context(), backend.Latest))
	if tail, err := st.CheckTail(t.Context()); err != nil || tail.SeqNum < 4 {
		t.Errorf("%+v, %v", tail, err)
	}

	recreate(t, c, st.Name())
	want(t, st.Trim(t.Context(), read.Records[1].Next), backend.ErrOutOfRange)
	if at := first(); at != "0" {
		t.Errorf("a place in the deleted stream trimmed the new one to %s", at)
	}
}

func TestTrimOfAMissingStreamIsNotFound(t *testing.T) {
	st := dial(t, s2test.New(t, s2test.Basin(basinName, false))).Basin(basinName).Stream("missing")
	want(t, st.Trim(t.Context(), "0"), backend.ErrNotFound)
	want(t, st.Trim(t.Context(), backend.Latest), backend.ErrNotFound)
}
