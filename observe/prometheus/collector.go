// Package prometheus exports the numbers of an [observe.Registry] to Prometheus.
//
//	reg := observe.NewRegistry()
//	prometheus.MustRegister(headraceprom.New(reg))
//
// All metrics begin with headrace_. Those of producers have the label producer, those of consumers the label consumer, those of
// handlers the label handler; the values are the names that were given to the Registry. A scrape reads the Registry once and costs
// producers and consumers nothing.
package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/observe"
)

// New returns a collector of everything that reg knows.
func New(reg *observe.Registry) prometheus.Collector { return &collector{reg} }

type collector struct{ reg *observe.Registry }

// A metric says how to read one number of a snapshot S.
type metric[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*S) float64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("headrace_"+name, help, labels, nil)
}

func counter[S any](label, name, help string, read func(*S) uint64) metric[S] {
	return metric[S]{describe(label+"_"+name, help, label), prometheus.CounterValue, func(s *S) float64 { return float64(read(s)) }}
}

func gauge[S any](label, name, help string, read func(*S) float64) metric[S] {
	return metric[S]{describe(label+"_"+name, help, label), prometheus.GaugeValue, read}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type (
	producerStats = observe.Producer
	consumerStats = observe.Consumer
	handlerStats  = observe.Handled
)

var producerMetrics = []metric[producerStats]{
	gauge("producer", "live", "Producers that have not stopped.", func(p *producerStats) float64 { return float64(p.Live) }),
	counter("producer", "records_acked_total", "Records that are durable.", func(p *producerStats) uint64 { return p.Acked }),
	counter("producer", "records_failed_total", "Records that were accepted and given up.", func(p *producerStats) uint64 { return p.Failed }),
	counter("producer", "acked_bytes_total", "Bytes of durable records, by the store's meter.", func(p *producerStats) uint64 { return p.AckedBytes }),
	counter("producer", "batches_resent_total", "Batches that were sent again.", func(p *producerStats) uint64 { return p.Resent }),
	counter("producer", "sessions_opened_total", "Sessions opened with the store.", func(p *producerStats) uint64 { return p.Opened }),
	counter("producer", "sessions_lost_total", "Sessions that ended with an error.", func(p *producerStats) uint64 { return p.Lost }),
	gauge("producer", "buffered_records", "Records that were accepted and are not decided.", func(p *producerStats) float64 { return float64(p.Buffered) }),
	gauge("producer", "buffered_bytes", "Bytes that buffered records use of BufferBytes.", func(p *producerStats) float64 { return float64(p.BufferedBytes) }),
	gauge("producer", "in_flight_batches", "Batches taken by sessions and not acknowledged.", func(p *producerStats) float64 { return float64(p.InFlight) }),
}

var consumerMetrics = []metric[consumerStats]{
	gauge("consumer", "live", "Loops that run.", func(c *consumerStats) float64 { return float64(c.Live) }),
	counter("consumer", "records_read_total", "Records that were read.", func(c *consumerStats) uint64 { return c.Read }),
	counter("consumer", "records_done_total", "Records that are done.", func(c *consumerStats) uint64 { return c.Done }),
	counter("consumer", "read_bytes_total", "Bytes read, as they count against BufferBytes.", func(c *consumerStats) uint64 { return c.ReadBytes }),
	counter("consumer", "records_poison_total", "Records that could not be decoded.", func(c *consumerStats) uint64 { return c.Poison }),
	counter("consumer", "dead_letters_total", "Records that are durable in the dead letters.", func(c *consumerStats) uint64 { return c.DeadLetters }),
	counter("consumer", "readers_opened_total", "Readers opened.", func(c *consumerStats) uint64 { return c.Opened }),
	counter("consumer", "readers_lost_total", "Readers that failed.", func(c *consumerStats) uint64 { return c.Lost }),
	counter("consumer", "checkpoints_saved_total", "Attempts to save a checkpoint that succeeded.", func(c *consumerStats) uint64 { return c.Saved }),
	counter("consumer", "checkpoints_failed_total", "Attempts to save a checkpoint that failed.", func(c *consumerStats) uint64 { return c.SaveFails }),
	gauge("consumer", "buffered_bytes", "Bytes of records that were read and are not done.", func(c *consumerStats) float64 { return float64(c.BufferedBytes) }),
	gauge("consumer", "lag_seconds", "Age of the oldest record that was read and is not done.", func(c *consumerStats) float64 { return c.Lag.Seconds() }),
	gauge("consumer", "caught_up", "1 when every loop has reached the tail.", func(c *consumerStats) float64 { return boolean(c.CaughtUp) }),
}

var handlerMetrics = []metric[handlerStats]{
	gauge("handler", "running", "Attempts that have not returned.", func(h *handlerStats) float64 { return float64(h.Running) }),
	counter("handler", "attempts_failed_total", "Attempts that returned an error or panicked.", func(h *handlerStats) uint64 { return h.Failed }),
}

var (
	batchesSent     = describe("producer_batches_sent_total", "Batches sent for the first time, by the reason why each one ended.", "producer", "cause")
	ackLatency      = describe("producer_ack_seconds", "Time from the first record of a batch to its ack.", "producer")
	handlerDuration = describe("handler_seconds", "Duration of the attempts of a handler.", "handler")
)

// Describe sends the description of every metric.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range producerMetrics {
		out <- m.desc
	}
	for _, m := range consumerMetrics {
		out <- m.desc
	}
	for _, m := range handlerMetrics {
		out <- m.desc
	}
	out <- batchesSent
	out <- ackLatency
	out <- handlerDuration
}

// Collect reads the registry once and sends every metric.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.reg.Snapshot()
	for i := range s.Producers {
		p := &s.Producers[i]
		send(out, producerMetrics, p, p.Name)
		for cause, n := range p.Sent {
			out <- prometheus.MustNewConstMetric(batchesSent, prometheus.CounterValue, float64(n), p.Name, cause)
		}
		out <- constHistogram(ackLatency, p.Latency, p.Name)
	}
	for i := range s.Consumers {
		send(out, consumerMetrics, &s.Consumers[i], s.Consumers[i].Name)
	}
	for i := range s.Handlers {
		h := &s.Handlers[i]
		send(out, handlerMetrics, h, h.Name)
		out <- constHistogram(handlerDuration, h.Durations, h.Name)
	}
}

func send[S any](out chan<- prometheus.Metric, metrics []metric[S], s *S, name string) {
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(s), name)
	}
}

// constHistogram turns a histogram into one of Prometheus, whose buckets add up from the smallest.
func constHistogram(desc *prometheus.Desc, h observe.Histogram, name string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var n uint64
	for i, bound := range h.Bounds {
		n += h.Counts[i]
		buckets[bound.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count(), h.Sum.Seconds(), buckets, name)
}
