package observe

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogramBuckets is the number of buckets with an upper bound. The first bound is 0.125 ms, and each next bound is twice the
// bound before. The last bound is 131 s, more than any timeout of this library.
const histogramBuckets = 21

const leastBound = 125 * time.Microsecond

// A histogram counts durations. All methods may be called at the same time.
type histogram struct {
	counts [histogramBuckets + 1]atomic.Uint64 // the last one has no upper bound
	sum    atomic.Int64                        // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf returns the first bucket whose bound is not below d.
func bucketOf(d time.Duration) int {
	if d <= leastBound {
		return 0
	}
	return min(bits.Len64(uint64((d-1)/leastBound)), histogramBuckets)
}

// A Histogram is a snapshot of durations.
type Histogram struct {
	Bounds []time.Duration // upper bounds of the buckets, ascending
	Counts []uint64        // one more than Bounds: the last one counts what is above all bounds
	Sum    time.Duration
}

// bounds are shared by all snapshots and never written to.
var bounds = func() []time.Duration {
	b := make([]time.Duration, histogramBuckets)
	for i := range b {
		b[i] = leastBound << i
	}
	return b
}()

func (h *histogram) snapshot() Histogram {
	s := Histogram{Bounds: bounds, Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}

// Count returns how many durations there are.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns a duration that the share q of all durations does not exceed, 0 when there is no duration. The result is an
// estimate: inside of a bucket, durations are taken as spread evenly. So the result is at most twice the true value.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count())
	if rank == 0 {
		return 0
	}
	var before float64
	for i, c := range h.Counts {
		if after := before + float64(c); c > 0 && after >= rank {
			var low time.Duration
			if i > 0 {
				low = h.Bounds[i-1]
			}
			if i == len(h.Bounds) {
				return low
			}
			return low + time.Duration((rank-before)/float64(c)*float64(h.Bounds[i]-low))
		}
		before += float64(c)
	}
	return h.Bounds[len(h.Bounds)-1]
}

// Minus returns the durations between the snapshot before and h.
func (h Histogram) Minus(before Histogram) Histogram {
	d := Histogram{Bounds: h.Bounds, Counts: make([]uint64, len(h.Counts)), Sum: h.Sum - before.Sum}
	for i := range d.Counts {
		d.Counts[i] = h.Counts[i]
		if i < len(before.Counts) {
			d.Counts[i] -= before.Counts[i]
		}
	}
	return d
}
