package debug

import (
	"cmp"
	"slices"
	"time"

	"github.com/headrace/headrace/observe"
)

// A sample holds the numbers of one interval for the page. Times are in milliseconds, rates a second.
type sample struct {
	Time      time.Time        `json:"time"`
	Producers []producerSample `json:"producers"`
	Consumers []consumerSample `json:"consumers"`
	Handlers  []handlerSample  `json:"handlers"`
	Groups    []groupSample    `json:"groups"`
	Servers   []serverSample   `json:"servers"`
}

type serverSample struct {
	Name      string       `json:"name"`
	Calls     []callSample `json:"calls"` // in order of name and status
	CallRate  float64      `json:"callRate"`
	Open      int64        `json:"open"`
	Streams   int          `json:"streams"`
	Appends   int64        `json:"appends"`
	Records   int64        `json:"records"`
	Bytes     int64        `json:"bytes"`
	ByteRate  float64      `json:"byteRate"` // stored
	ReadBytes int64        `json:"readBytes"`
	ReadRate  float64      `json:"readRate"`
	Faults    int64        `json:"faults"`
}

type callSample struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Count  int64  `json:"count"`
}

type groupSample struct {
	Name    string   `json:"name"`
	Members int      `json:"members"`
	Streams int      `json:"streams"`
	Held    []string `json:"held"`
}

type producerSample struct {
	Name          string            `json:"name"`
	Live          int               `json:"live"`
	Acked         uint64            `json:"acked"`
	Failed        uint64            `json:"failed"`
	RecordRate    float64           `json:"recordRate"`
	ByteRate      float64           `json:"byteRate"`
	Buffered      int               `json:"buffered"`
	BufferedBytes int               `json:"bufferedBytes"`
	InFlight      int               `json:"inFlight"`
	Resent        uint64            `json:"resent"`
	Lost          uint64            `json:"lost"`
	Open          int               `json:"open"`
	Sent          map[string]uint64 `json:"sent"`
	latencySample
	lastError
}

type consumerSample struct {
	Name          string  `json:"name"`
	Live          int     `json:"live"`
	Done          uint64  `json:"done"`
	Rate          float64 `json:"rate"`
	ByteRate      float64 `json:"byteRate"`
	LagMillis     float64 `json:"lagMillis"`
	CaughtUp      bool    `json:"caughtUp"`
	BufferedBytes int     `json:"bufferedBytes"`
	Poison        uint64  `json:"poison"`
	DeadLetters   uint64  `json:"deadLetters"`
	Lost          uint64  `json:"lost"`
	Saved         uint64  `json:"saved"`
	SaveFails     uint64  `json:"saveFails"`
	lastError
}

type handlerSample struct {
	Name    string  `json:"name"`
	Running int64   `json:"running"`
	Rate    float64 `json:"rate"`
	Failed  uint64  `json:"failed"`
	latencySample
	lastError
}

// latencySample holds two quantiles of the interval; both are 0 when nothing ended in the interval.
type latencySample struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type lastError struct {
	Error   string    `json:"error,omitempty"`
	ErrorAt time.Time `json:"errorAt,omitzero"`
}

// sampleOf compares two snapshots. Rates and latencies are of the interval, because a mean since the start would hide a change.
// Counts are since the start.
func sampleOf(before, now observe.Snapshot) sample {
	seconds := max(now.Time.Sub(before.Time).Seconds(), 0.001) // the first sample of a page has no interval yet
	rate := func(before, now uint64) float64 { return float64(now-before) / seconds }
	s := sample{
		Time: now.Time, Producers: []producerSample{}, Consumers: []consumerSample{}, Handlers: []handlerSample{}, Groups: []groupSample{},
		Servers: []serverSample{},
	}
	for _, p := range now.Producers {
		was := find(before.Producers, func(b observe.Producer) bool { return b.Name == p.Name })
		s.Producers = append(s.Producers, producerSample{
			Name: p.Name, Live: p.Live, Acked: p.Acked, Failed: p.Failed, RecordRate: rate(was.Acked, p.Acked),
			ByteRate: rate(was.AckedBytes, p.AckedBytes), Buffered: p.Buffered, BufferedBytes: p.BufferedBytes, InFlight: p.InFlight,
			Resent: p.Resent, Lost: p.Lost, Open: p.Open, Sent: p.Sent, latencySample: quantiles(was.Latency, p.Latency), lastError: failureOf(p.LastError),
		})
	}
	for _, c := range now.Consumers {
		was := find(before.Consumers, func(b observe.Consumer) bool { return b.Name == c.Name })
		s.Consumers = append(s.Consumers, consumerSample{
			Name: c.Name, Live: c.Live, Done: c.Done, Rate: rate(was.Done, c.Done), ByteRate: rate(was.ReadBytes, c.ReadBytes),
			LagMillis: millis(c.Lag), CaughtUp: c.CaughtUp, BufferedBytes: c.BufferedBytes, Poison: c.Poison, DeadLetters: c.DeadLetters,
			Lost: c.Lost, Saved: c.Saved, SaveFails: c.SaveFails, lastError: failureOf(c.LastError),
		})
	}
	for _, h := range now.Handlers {
		was := find(before.Handlers, func(b observe.Handled) bool { return b.Name == h.Name })
		s.Handlers = append(s.Handlers, handlerSample{
			Name: h.Name, Running: h.Running, Rate: rate(was.Durations.Count(), h.Durations.Count()), Failed: h.Failed,
			latencySample: quantiles(was.Durations, h.Durations), lastError: failureOf(h.LastError),
		})
	}
	for _, g := range now.Groups {
		s.Groups = append(s.Groups, groupSample{Name: g.Name, Members: g.Members, Streams: g.Streams, Held: append([]string{}, g.Held...)})
	}
	for _, v := range now.Servers {
		was := find(before.Servers, func(b observe.Server) bool { return b.Name == v.Name })
		s.Servers = append(s.Servers, serverSampleOf(was, v, seconds))
	}
	return s
}

func serverSampleOf(was, now observe.Server, seconds float64) serverSample {
	s := serverSample{
		Name: now.Name, Calls: []callSample{}, Open: now.Open, Streams: now.Streams, Appends: now.Appends, Records: now.Records,
		Bytes: now.Bytes, ByteRate: float64(now.Bytes-was.Bytes) / seconds, ReadBytes: now.ReadBytes,
		ReadRate: float64(now.ReadBytes-was.ReadBytes) / seconds, Faults: now.Faults,
	}
	for call, n := range now.Calls {
		s.Calls = append(s.Calls, callSample{call.Name, call.Status, n})
		s.CallRate += float64(n-was.Calls[call]) / seconds
	}
	slices.SortFunc(s.Calls, func(a, b callSample) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Status, b.Status)) })
	return s
}

// find returns the first element that fits, or the zero value.
func find[E any](all []E, fits func(E) bool) (none E) {
	for _, e := range all {
		if fits(e) {
			return e
		}
	}
	return none
}

func quantiles(before, now observe.Histogram) latencySample {
	h := now.Minus(before)
	return latencySample{P50: millis(h.Quantile(0.5)), P99: millis(h.Quantile(0.99))}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func failureOf(f observe.Failure) lastError {
	if f.Err == nil {
		return lastError{}
	}
	return lastError{Error: f.Err.Error(), ErrorAt: f.Time}
}
