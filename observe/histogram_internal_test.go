package observe

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEveryDurationIsInTheFirstBucketThatHoldsIt(t *testing.T) {
	for _, d := range []time.Duration{
		-1, 0, 1, leastBound - 1, leastBound, leastBound + 1, 2 * leastBound, 2*leastBound + 1, time.Second,
		bounds[histogramBuckets-1], bounds[histogramBuckets-1] + 1, 24 * time.Hour, 1<<63 - 1,
	} {
		want := histogramBuckets
		for i, b := range bounds {
			if d <= b {
				want = i
				break
			}
		}
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestQuantileIsAtMostTwiceTheTrueOne(t *testing.T) {
	var h histogram
	var all []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))
		h.observe(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99, 0.999} {
		got, want := h.snapshot().Quantile(q), all[int(q*float64(len(all)))]
		if got > 2*want+leastBound || 2*got+leastBound < want {
			t.Errorf("quantile %v: %v, truly %v", q, got, want)
		}
	}
	if q := (Histogram{Bounds: bounds}).Quantile(0.5); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
	if n := h.snapshot().Minus(h.snapshot()).Count(); n != 0 {
		t.Errorf("the difference of equal snapshots has %d", n)
	}
}
