package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/headrace/headrace/observe"
)

// Metrics registers the numbers of reg with the meter provider of the options. The names begin with headrace.producer,
// headrace.consumer, headrace.handler, headrace.group and headrace.server; the attribute name is the name that
// was given to the Registry. The numbers are read when the SDK collects, and cost nothing between. An instrument that is
// read in this way cannot be a histogram; a [Meter] has the histograms.
func Metrics(reg *observe.Registry, opts ...Option) error {
	meter := configOf(opts).meters.Meter(scope)
	producers, err1 := newFamily(meter, "producer", observe.ProducerMetrics)
	consumers, err2 := newFamily(meter, "consumer", observe.ConsumerMetrics)
	handlers, err3 := newFamily(meter, "handler", observe.HandlerMetrics)
	groups, err4 := newFamily(meter, "group", observe.GroupMetrics)
	servers, err5 := newFamily(meter, "server", observe.ServerMetrics)
	sent, err6 := meter.Float64ObservableCounter("headrace.producer.batches_sent",
		metric.WithDescription("Batches sent for the first time, by the reason why each one ended."))
	served, err7 := meter.Float64ObservableCounter("headrace.server.calls", metric.WithDescription("Calls that have ended, by name and status."))
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	all := []metric.Observable{sent, served}
	for _, more := range [][]metric.Observable{
		producers.observables(), consumers.observables(), handlers.observables(), groups.observables(), servers.observables(),
	} {
		all = append(all, more...)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, out metric.Observer) error {
		s := reg.Snapshot()
		for i := range s.Producers {
			p := &s.Producers[i]
			producers.report(out, p, p.Name)
			for cause, n := range p.Sent {
				out.ObserveFloat64(sent, float64(n), metric.WithAttributes(attribute.String("name", p.Name), attribute.String("cause", cause)))
			}
		}
		for i := range s.Consumers {
			consumers.report(out, &s.Consumers[i], s.Consumers[i].Name)
		}
		for i := range s.Handlers {
			handlers.report(out, &s.Handlers[i], s.Handlers[i].Name)
		}
		for i := range s.Groups {
			groups.report(out, &s.Groups[i], s.Groups[i].Name)
		}
		for i := range s.Servers {
			server := &s.Servers[i]
			servers.report(out, server, server.Name)
			for call, n := range server.Calls {
				out.ObserveFloat64(served, float64(n), metric.WithAttributes(attribute.String("name", server.Name),
					attribute.String("call", call.Name), attribute.String("status", call.Status)))
			}
		}
		return nil
	}, all...)
	return err
}

// A family is the metrics of one kind S, such as consumers.
type family[S any] []instrument[S]

// An instrument is a metric of the registry and what the SDK made of it.
type instrument[S any] struct {
	metric.Float64Observable
	read func(*S) float64
}

func newFamily[S any](meter metric.Meter, kind string, metrics []observe.Metric[S]) (family[S], error) {
	var all family[S]
	for _, m := range metrics {
		name := "headrace." + kind + "." + m.Name
		var o metric.Float64Observable
		var err error
		if m.Counter {
			o, err = meter.Float64ObservableCounter(name, metric.WithDescription(m.Help), metric.WithUnit(m.Unit))
		} else {
			o, err = meter.Float64ObservableGauge(name, metric.WithDescription(m.Help), metric.WithUnit(m.Unit))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, instrument[S]{o, m.Read})
	}
	return all, nil
}

func (f family[S]) observables() (out []metric.Observable) {
	for _, i := range f {
		out = append(out, i.Float64Observable)
	}
	return out
}

// report gives the SDK the numbers of the one that has the given name.
func (f family[S]) report(out metric.Observer, s *S, name string) {
	attributes := metric.WithAttributes(attribute.String("name", name))
	for _, i := range f {
		out.ObserveFloat64(i.Float64Observable, i.read(s), attributes)
	}
}
