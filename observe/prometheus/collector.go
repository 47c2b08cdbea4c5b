// Package prometheus exports the numbers of an [observe.Registry] to Prometheus.
//
//	reg := observe.NewRegistry()
//	prometheus.MustRegister(headraceprom.New(reg))
//
// All metrics begin with headrace_. Metrics of producers have the label producer, metrics of consumers the label consumer, metrics
// of handlers the label handler, metrics of groups the label group, metrics of servers the label server; the values of the labels
// are the names in the Registry. A scrape reads the Registry once and costs producers and consumers nothing.
package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/observe"
)

// New returns a collector of all numbers of reg.
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

// metrics gives the numbers of a label their names in Prometheus: with the unit, and with _total for a counter.
func metrics[S any](label string, all []observe.Metric[S]) (out []metric[S]) {
	units := map[string]string{"": "", "By": "_bytes", "s": "_seconds"}
	for _, m := range all {
		name, kind := label+"_"+m.Name+units[m.Unit], prometheus.GaugeValue
		if m.Counter {
			name, kind = name+"_total", prometheus.CounterValue
		}
		out = append(out, metric[S]{describe(name, m.Help, label), kind, m.Read})
	}
	return out
}

var (
	producerMetrics = metrics("producer", observe.ProducerMetrics)
	consumerMetrics = metrics("consumer", observe.ConsumerMetrics)
	handlerMetrics  = metrics("handler", observe.HandlerMetrics)
	groupMetrics    = metrics("group", observe.GroupMetrics)
	serverMetrics   = metrics("server", observe.ServerMetrics)
)

var (
	batchesSent     = describe("producer_batches_sent_total", "Batches sent for the first time, by the reason why each one ended.", "producer", "cause")
	ackLatency      = describe("producer_ack_seconds", "Time from the first record of a batch to its ack.", "producer")
	handlerDuration = describe("handler_seconds", "Duration of the attempts of a handler.", "handler")
	serverCalls     = describe("server_calls_total", "Calls that have ended, by name and status.", "server", "call", "status")
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
	for _, m := range groupMetrics {
		out <- m.desc
	}
	for _, m := range serverMetrics {
		out <- m.desc
	}
	out <- serverCalls
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
	for i := range s.Groups {
		send(out, groupMetrics, &s.Groups[i], s.Groups[i].Name)
	}
	for i := range s.Servers {
		server := &s.Servers[i]
		send(out, serverMetrics, server, server.Name)
		for call, n := range server.Calls {
			out <- prometheus.MustNewConstMetric(serverCalls, prometheus.CounterValue, float64(n), server.Name, call.Name, call.Status)
		}
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

// constHistogram makes a histogram of Prometheus. A bucket of Prometheus counts everything up to its bound. Our bucket counts only
// durations above the bound of the bucket before.
func constHistogram(desc *prometheus.Desc, h observe.Histogram, name string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var n uint64
	for i, bound := range h.Bounds {
		n += h.Counts[i]
		buckets[bound.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count(), h.Sum.Seconds(), buckets, name)
}
