package main

import (
	"bytes"
	"fmt"
	"html"
	"sync"
	"time"
)

// A chart collects throughput and latency over time and draws them. The writer's acks and the reader come from two
// goroutines, hence the lock; each takes it for one record in 64 only.
type chart struct {
	mu      sync.Mutex
	buckets []bucket // one for each step since the beginning
	step    time.Duration
}

type bucket struct {
	read  int           // records
	worst time.Duration // longest time to an ack
}

// The steps of a chart begin small, and double when the picture is not wide enough for all of them. So a run of a
// second has detail, and a run of a day uses no more memory than mostSteps buckets.
const (
	firstStep  = 50 * time.Millisecond
	mostSteps  = 400
	plotLeft   = 80
	plotWidth  = 800
	plotHeight = 150
	plotGap    = 70
)

func newChart() *chart { return &chart{step: firstStep} }

func (c *chart) acked(at, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bucketLocked(at)
	// The bucket is chosen by the time of the ack: a stop of the store shows at its end.
	b.worst = max(b.worst, took)
}

func (c *chart) read(at time.Duration, records int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bucketLocked(at).read += records
}

// bucketLocked returns the bucket of a moment. When the buckets are used up, each two become one and the step doubles:
// sums add up, and the longer of two longest times stays, and a peak is never lost.
func (c *chart) bucketLocked(at time.Duration) *bucket {
	for int(at/c.step) >= mostSteps {
		half := make([]bucket, 0, mostSteps)
		for i := 0; i < len(c.buckets); i += 2 {
			b := c.buckets[i]
			if i+1 < len(c.buckets) {
				b.read += c.buckets[i+1].read
				b.worst = max(b.worst, c.buckets[i+1].worst)
			}
			half = append(half, b)
		}
		c.buckets, c.step = half, 2*c.step
	}
	i := int(at / c.step)
	for len(c.buckets) <= i {
		c.buckets = append(c.buckets, bucket{})
	}
	return &c.buckets[i]
}

// svg draws two plots above one another, with the same axis of time. The picture needs no fonts and no scripts, and
// looks the same in every browser and viewer, also inside of other pages.
func (c *chart) svg(title string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out bytes.Buffer
	height := 50 + 2*(plotHeight+plotGap)
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">`, plotLeft+plotWidth+30, height)
	// The colours follow the dark mode of the viewer: a picture with a white ground would dazzle in a dark page.
	out.WriteString(`<style>.bg{fill:#fff}.t{fill:#1b2430}.d{fill:#5d6b7c}.g{stroke:#dde2e9}.a{stroke:#1f6feb}.b{stroke:#b4531a}.l{fill:none;stroke-width:1.8}` +
		`@media(prefers-color-scheme:dark){.bg{fill:#10151c}.t{fill:#e4eaf2}.d{fill:#93a1b3}.g{stroke:#2a3543}.a{stroke:#6aa8ff}.b{stroke:#f0a36a}}</style>`)
	fmt.Fprintf(&out, `<rect class="bg" width="100%%" height="100%%"/><text class="t" x="20" y="28" font-size="16" font-weight="600">%s</text>`, html.EscapeString(title))
	rates, waits := make([]float64, len(c.buckets)), make([]float64, len(c.buckets))
	for i, b := range c.buckets {
		rates[i] = float64(b.read) / c.step.Seconds()
		// The longest time and not the average: averages hide the second in which nothing was acknowledged.
		waits[i] = float64(b.worst) / 1e6
	}
	c.plot(&out, 50, "records/s, read", "a", rates)
	c.plot(&out, 50+plotHeight+plotGap, "longest time until a record was durable, ms", "b", waits)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (c *chart) plot(out *bytes.Buffer, top int, label, class string, values []float64) {
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	// The axis ends at a round number, so that the labels of the grid are short.
	highest = nice(highest)
	fmt.Fprintf(out, `<text class="d" x="%d" y="%d">%s</text>`, plotLeft, top+12, label)
	top += 22
	for i := range 5 {
		y := top + plotHeight*i/4
		fmt.Fprintf(out, `<line class="g" x1="%d" x2="%d" y1="%d" y2="%d"/><text class="d" x="%d" y="%d" text-anchor="end">%s</text>`,
			plotLeft, plotLeft+plotWidth, y, y, plotLeft-8, y+4, short(highest*float64(4-i)/4))
	}
	// The axis of time ends at the last bucket and not at the last record, so both plots have the same one.
	total := time.Duration(len(values)) * c.step
	for i := range 5 {
		fmt.Fprintf(out, `<text class="d" x="%d" y="%d" text-anchor="middle">%.1f s</text>`, plotLeft+plotWidth*i/4, top+plotHeight+18, total.Seconds()*float64(i)/4)
	}
	fmt.Fprintf(out, `<polyline class="l %s" points="`, class)
	for i, v := range values {
		fmt.Fprintf(out, "%.1f,%.1f ", plotLeft+plotWidth*(float64(i)+0.5)/float64(len(values)), float64(top)+plotHeight*(1-v/highest))
	}
	out.WriteString(`"/>`)
}

// nice returns the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below v. An empty plot gets an axis up
// to 1, because a division by 0 would put NaN into the picture, and viewers show nothing then.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := 1.0
	for power*10 <= v {
		power *= 10
	}
	for power > v {
		power /= 10
	}
	for _, f := range []float64{1, 2, 2.5, 5, 10} {
		if f*power >= v {
			return f * power
		}
	}
	return v
}

// short formats a number for an axis. Three digits are enough for the eye, and a long number would run into the plot.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.4g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.4g k", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}
