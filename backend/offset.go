package backend

import (
	"strconv"
	"strings"
	"time"
)

// An Offset is an opaque place in a stream: reading from an Offset returns the record at the place first. Only the
// backend that made an Offset can read the Offset.
//
// The empty Offset is no offset: absent or unknown, never a place. Offsets written '@…' are starts, relative to the
// content of the store when the start is first resolved; a backend may make further starts. Compare with == only: "10" <
// "9".
type Offset string

// The portable starts, which every readable backend takes. See also [Last] and [AtTime].
const (
	Earliest Offset = "@earliest" // the first record that is still kept
	Latest   Offset = "@latest"   // behind the last record: only what is appended from now on
)

const (
	lastPrefix   = "@last:"
	atTimePrefix = "@time:"
)

// Last starts at the n-th record from the end, or at [Earliest] when there are fewer. Last(0) is [Latest]; a negative n
// counts as 0. A backend that cannot count from the end refuses with [ErrUnsupported].
func Last(n int) Offset {
	if n <= 0 {
		return Latest
	}
	return Offset(lastPrefix + strconv.Itoa(n))
}

// AtTime starts at the first record whose Time is not before t, or at [Latest] when all records are earlier. Stores keep
// times to their own precision, often milliseconds. A backend without a time index refuses with [ErrUnsupported].
func AtTime(t time.Time) Offset {
	return Offset(atTimePrefix + t.UTC().Format(time.RFC3339Nano))
}

// Relative reports whether o is a start ('@…') and not a place.
func (o Offset) Relative() bool { return strings.HasPrefix(string(o), "@") }

// LastN returns the number of records in an offset of [Last], for implementers of backends.
func (o Offset) LastN() (n int, ok bool) {
	s, ok := strings.CutPrefix(string(o), lastPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return 0, false
	}
	return n, true
}

// Since returns the time in an offset of [AtTime], for implementers of backends.
func (o Offset) Since() (t time.Time, ok bool) {
	s, ok := strings.CutPrefix(string(o), atTimePrefix)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	return t, true
}
