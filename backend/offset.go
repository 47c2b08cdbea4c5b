package backend

import (
	"strconv"
	"strings"
	"time"
)

// An Offset is an opaque place in a stream: reading from it returns the record at that place first. Only the backend
// that minted it can read it.
//
// The empty Offset is no offset: absent or unknown, never a place. Offsets written '@…' are starts, relative to what the
// store holds when they are first resolved; a backend may mint further ones. Compare with == only: "10" < "9".
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
// counts as 0. A backend that cannot count from the end opens it with [ErrUnsupported].
func Last(n int) Offset {
	if n <= 0 {
		return Latest
	}
	return Offset(lastPrefix + strconv.Itoa(n))
}

// AtTime starts at the first record whose Time is not before t, or at [Latest] when there is none. Stores keep times to
// their own precision, often milliseconds. A backend without a time index opens it with [ErrUnsupported].
func AtTime(t time.Time) Offset {
	return Offset(atTimePrefix + t.UTC().Format(time.RFC3339Nano))
}

// Relative reports whether o is a start ('@…') and not a place.
func (o Offset) Relative() bool { return strings.HasPrefix(string(o), "@") }

// LastN takes apart what [Last] made: how many records from the end. It is for implementers of backends.
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

// Since takes apart what [AtTime] made. It is for implementers of backends.
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
