package server

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A minute holds the counts of one minute.
type minute struct {
	appends, appended, unaryReads, sessionReads, read, calls uint64
}

// A meter counts by minute, for the account or for one basin.
//
// The minutes stay for as long as the server runs: S2 lets a client ask for any range of 30 days. A minute needs 100
// bytes or so, and a minute without calls needs nothing. The counts are not stored, and begin at 0 with each start.
type meter struct {
	mu      sync.Mutex
	minutes map[int64]*minute
	last    *minute // the minute that add used last; saves a look into minutes for every append
	lastAt  int64
}

func newMeter() *meter { return &meter{minutes: map[int64]*minute{}} }

// A sample is a pair of a time in seconds and a value, written as an array: S2's clients decode it so.
type sample [2]float64

type scalarSet struct {
	Name     string   `json:"name"`
	Unit     string   `json:"unit,omitempty"`
	Interval string   `json:"interval,omitempty"`
	Values   []sample `json:"values"`
}

// A metric is a union in the JSON of S2: exactly one of the fields is there, and its name is the kind of the metric.
type metric struct {
	Accumulation *scalarSet `json:"accumulation,omitempty"`
	Gauge        *scalarSet `json:"gauge,omitempty"`
	Label        *labelSet  `json:"label,omitempty"`
}

type labelSet struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

type span struct{ start, end int64 }

// metrics answers the metrics calls of the account (no names), a basin (one name) or a stream (two names). The
// permission comes first, and the lookup last, as in all calls: a token without rights must not find out which names
// exist.
func (x *exchange) metrics(names []string) error {
	op := []string{"account-metrics", "basin-metrics", "stream-metrics"}[len(names)]
	basin, stream := "", ""
	if len(names) > 0 {
		basin = names[0]
	}
	if len(names) > 1 {
		stream = names[1]
	}
	stream, err := x.permit(op, basin, stream)
	if err != nil {
		return err
	}
	v := x.r.URL.Query()
	set, interval := v.Get("set"), v.Get("interval")
	if !slices.Contains([]string{"", "minute", "hour", "day"}, interval) {
		return badRequest("bad_query", "unknown interval `%s`: use minute, hour or day", interval)
	}
	at, err := x.span()
	if err != nil {
		return err
	}
	var values []metric
	switch len(names) {
	case 0:
		values, err = x.srv.accountValues(set, interval, at)
	case 1:
		values, err = x.srv.basinValues(basin, set, interval, at)
	case 2:
		values, err = x.srv.streamValues(basin, stream, names[1], set, interval, at)
	}
	if err != nil {
		return err
	}
	// An empty range has no values by definition, and null instead of an empty list would break clients.
	if at.start == at.end || values == nil {
		values = []metric{}
	}
	return x.answer(http.StatusOK, map[string]any{"values": values})
}

// The three functions below look up what is measured. They hold the lock of the catalog only for the lookup. If the lock
// were held while the answer is written, a slow client would block all other calls.

func (s *Server) accountValues(set, interval string, at span) ([]metric, error) {
	switch set {
	case "active-basins":
		s.mu.Lock()
		defer s.mu.Unlock()
		names := []string{}
		for name, b := range s.catalog.basins {
			if b.deletedAt.IsZero() && b.createdAt.Unix() <= at.end {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return []metric{{Label: &labelSet{"active-basins", names}}}, nil
	case "account-ops":
		return []metric{s.meter.accumulate("account-ops", "operations", interval, at, func(m *minute) uint64 { return m.calls })}, nil
	}
	return nil, unknownSet(set)
}

func (s *Server) basinValues(name, set, interval string, at span) ([]metric, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.basinLocked(name)
	if b == nil {
		return nil, basinNotFound(name)
	}
	return b.metricsLocked(set, interval, at)
}

// streamValues finds a stream by its full name. asked is its name in the request, for the error.
func (s *Server) streamValues(basin, name, asked, set, interval string, at span) ([]metric, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.basinLocked(basin)
	if b == nil {
		return nil, basinNotFound(basin)
	}
	st := s.streamOfLocked(b, name)
	if st == nil {
		return nil, streamNotFound(basin, asked)
	}
	return st.metrics(set, interval, at)
}

// span returns the time range of the request. The hosted service wants both ends, a range of at most 30 days, and an
// end at most a minute ahead of its own clock; the tests of S2's clients rely on all three.
func (x *exchange) span() (at span, err error) {
	v := x.r.URL.Query()
	if !v.Has("start") || !v.Has("end") {
		return at, invalid("the parameters start and end are missing")
	}
	for key, to := range map[string]*int64{"start": &at.start, "end": &at.end} {
		n, err := strconv.ParseUint(v.Get(key), 10, 32)
		if err != nil {
			return at, badRequest("bad_query", "%s: `%s` is not a time in seconds", key, v.Get(key))
		}
		*to = int64(n)
	}
	switch {
	case at.start > at.end:
		return at, invalid("start must not be after end")
	case at.end > x.srv.now().Unix()+60:
		return at, invalid("end must not be in the future")
	case at.end-at.start > 30*86400:
		return at, invalid("range must not exceed 30 days")
	}
	return at, nil
}

func unknownSet(set string) error { return badRequest("bad_query", "unknown metric set `%s`", set) }

// metricsLocked measures the basin. The lock of the server is held. Sets that the hosted service splits by storage
// class have a standard part here too, always empty: clients look for both parts. Everything counts as express, the
// default class.
func (b *basin) metricsLocked(set, interval string, at span) ([]metric, error) {
	sum := func(name, unit string, f func(*minute) uint64) metric {
		return b.meter.accumulate(name, unit, interval, at, f)
	}
	none := func(*minute) uint64 { return 0 }
	switch set {
	case "storage":
		if interval != "" && interval != "hour" {
			return nil, invalid("storage has the interval hour only")
		}
		total := int64(0)
		for _, st := range b.streams {
			total += st.storage()
		}
		return []metric{gauge("storage", at, total)}, nil
	case "append-ops":
		return []metric{sum("standard", "operations", none), sum("express", "operations", func(m *minute) uint64 { return m.appends })}, nil
	case "append-throughput":
		return []metric{sum("standard", "bytes", none), sum("express", "bytes", func(m *minute) uint64 { return m.appended })}, nil
	case "read-ops":
		return []metric{sum("streaming", "operations", func(m *minute) uint64 { return m.sessionReads }),
			sum("unary", "operations", func(m *minute) uint64 { return m.unaryReads })}, nil
	case "read-throughput":
		return []metric{sum("read-throughput", "bytes", func(m *minute) uint64 { return m.read })}, nil
	case "basin-ops":
		return []metric{sum("basin-ops", "operations", func(m *minute) uint64 { return m.calls })}, nil
	}
	return nil, unknownSet(set)
}

// metrics measures the stream: S2 has only its size, and only by the minute.
func (s *stream) metrics(set, interval string, at span) ([]metric, error) {
	if set != "storage" {
		return nil, unknownSet(set)
	}
	if interval != "" && interval != "minute" {
		return nil, invalid("storage has the interval minute only")
	}
	return []metric{gauge("storage", at, s.storage())}, nil
}

func (s *stream) storage() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// gauge makes a series with one sample, the value of now at the end of the range. The server keeps no history of sizes.
// A series without data is empty, as at the service.
func gauge(name string, at span, v int64) metric {
	g := &scalarSet{Name: name, Unit: "bytes", Values: []sample{}}
	if v > 0 {
		g.Values = append(g.Values, sample{float64(at.end), float64(v)})
	}
	return metric{Gauge: g}
}

// accumulate sums the counts of minutes by interval. It leaves out intervals with the sum 0. An interval begins at a
// multiple of its length, counted from 1970 in UTC, so the samples of two calls with different ranges fall on the same
// times. The first interval may begin in front of the range.
func (c *meter) accumulate(name, unit, interval string, at span, f func(*minute) uint64) metric {
	step := map[string]int64{"minute": 60, "hour": 3600, "day": 86400}[interval]
	if step == 0 {
		step, interval = 60, "minute"
	}
	sums := map[int64]uint64{}
	c.mu.Lock()
	for m, counted := range c.minutes {
		if n := f(counted); n > 0 && m >= at.start-at.start%step && m <= at.end {
			sums[m-m%step] += n
		}
	}
	c.mu.Unlock()
	set := &scalarSet{Name: name, Unit: unit, Interval: interval, Values: []sample{}}
	for m, n := range sums {
		set.Values = append(set.Values, sample{float64(m), float64(n)})
	}
	slices.SortFunc(set.Values, func(a, b sample) int { return int(a[0] - b[0]) })
	return metric{Accumulation: set}
}

// add calls count with the minute of now. mu is held for the count alone. It is the last lock in the lock order,
// because place counts with the lock of its stream held.
func (c *meter) add(now time.Time, count func(*minute)) {
	at := now.Unix() - now.Unix()%60
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || at != c.lastAt {
		if c.minutes[at] == nil {
			c.minutes[at] = new(minute)
		}
		c.last, c.lastAt = c.minutes[at], at
	}
	count(c.last)
}
