package durablestreams_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/producer"
)

// counted counts the appends that a client makes, and those of them that came too early.
type counted struct {
	*http.Transport
	sent, early, again atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	size := r.ContentLength
	resp, err := c.Transport.RoundTrip(r)
	if r.Method == http.MethodPost {
		c.sent.Add(1)
		if err == nil && resp.Header.Get("Producer-Expected-Seq") != "" {
			c.early.Add(1)
			c.again.Add(size)
		}
	}
	return resp, err
}

// BenchmarkOvertaking is how many batches of a producer overtake others on their way and are sent again: to our server, which
// lets them wait, to one that refuses them at once and does nothing else, and to the official one.
func BenchmarkOvertaking(b *testing.B) {
	onServers(b, func(b *testing.B, p *process) {
		for _, records := range []int{100, 1000, 10_000} {
			b.Run(fmt.Sprint(records), func(b *testing.B) {
				wire := &counted{Transport: &http.Transport{
					DisableCompression: true, MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
				}}
				s := p.stream(b, durablestreams.HTTP(&http.Client{Transport: wire}))
				one := encodedItem(b, 1)
				produce(b, p, s, asIs, func(int) []byte { return one }, producer.BatchRecords(records))
				batches := float64(wire.sent.Load() - wire.early.Load())
				b.ReportMetric(float64(wire.early.Load())/batches, "gaps/batch")
				b.ReportMetric(float64(wire.again.Load())/batches, "again-B/batch")
				b.ReportMetric(0, "ns/op")
			})
		}
	}, "memory", "strict", "reference")
}
