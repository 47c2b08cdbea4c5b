package s2

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Range says what to read. A field that is zero is no limit.
type Range struct {
	From       backend.Offset // where to begin: a place or a start such as [backend.Earliest]; required
	Clamp      bool           // a From beyond the tail means the tail; without Clamp it is an error
	Count      int            // records at most; one request never returns more than 1000
	Bytes      int            // metered bytes at most; one request never returns more than 1 MiB
	Until      time.Time      // only records before it
	NoCommands bool           // for Read: leave out command records. They count against the limits all the same
	Wait       time.Duration  // how long to wait at the tail for a first record. Rounded up to seconds; for Read, 60 s at most
}

func (r *Range) query() (url.Values, error) {
	q, err := startQuery(r.From)
	if err != nil {
		return nil, err
	}
	if r.Clamp {
		q.Set("clamp", "true")
	}
	if r.Count > 0 {
		q.Set("count", strconv.Itoa(r.Count))
	}
	if r.Bytes > 0 {
		q.Set("bytes", strconv.Itoa(r.Bytes))
	}
	if !r.Until.IsZero() {
		q.Set("until", strconv.FormatInt(max(ceilMilli(r.Until), 0), 10))
	}
	switch {
	case r.Wait < 0:
		q.Set("wait", "0")
	case r.Wait > 0:
		q.Set("wait", strconv.FormatInt(min(r.seconds(), math.MaxUint32), 10))
	}
	return q, nil
}

// seconds returns the wait in the unit of the protocol, rounded up.
func (r *Range) seconds() int64 {
	if r.Wait <= 0 {
		return 0
	}
	return int64((r.Wait-1)/time.Second) + 1
}

// startQuery says in the terms of the protocol where to begin.
func startQuery(from backend.Offset) (url.Values, error) {
	n, isLast := from.LastN()
	t, isTime := from.Since()
	switch {
	case from == backend.Earliest:
		return url.Values{"seq_num": {"0"}}, nil
	case from == backend.Latest:
		return url.Values{"tail_offset": {"0"}}, nil
	case isLast:
		return url.Values{"tail_offset": {strconv.Itoa(n)}}, nil
	case isTime: // with clamp, a time after the last record means the tail
		return url.Values{"timestamp": {strconv.FormatInt(max(floorMilli(t), 0), 10)}, "clamp": {"true"}}, nil
	}
	if from == "" {
		return nil, fmt.Errorf("s2: no start: give a place or backend.Earliest: %w", backend.ErrOutOfRange)
	}
	seq, err := SeqNum(from)
	if err != nil {
		return nil, err
	}
	return url.Values{"seq_num": {strconv.FormatUint(seq, 10)}}, nil
}

// floorMilli rounds down to milliseconds, as appends do with the times of records. So a start at t finds the record that was
// stored with time t.
func floorMilli(t time.Time) int64 {
	if t.Unix() >= math.MaxInt64/1000 {
		return math.MaxInt64 // UnixMilli would overflow
	}
	return t.UnixMilli()
}

// ceilMilli rounds up to milliseconds. Stored times are whole milliseconds, so a record is before t exactly if it is before the
// next whole millisecond.
func ceilMilli(t time.Time) int64 {
	ms := floorMilli(t)
	if ms < math.MaxInt64 && time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
