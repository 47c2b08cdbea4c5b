package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/headrace/headrace/observe"
)

// Metrics registers the numbers of reg with the meter provider, or with the global one when none is given. The names begin with
// headrace.producer, headrace.consumer, headrace.handler and headrace.group; the attribute name is the name that was given to the Registry. The
// numbers are read when the SDK collects, and cost nothing between. Histograms are not exported: an instrument that is read in this
// way cannot be one.
func Metrics(reg *observe.Registry, provider ...metric.MeterProvider) error {
	meters := otel.GetMeterProvider()
	if len(provider) > 0 {
		meters = provider[0]
	}
	meter := meters.Meter(scope)
	producers, err1 := instruments(meter, "producer", observe.ProducerMetrics)
	consumers, err2 := instruments(meter, "consumer", observe.ConsumerMetrics)
	handlers, err3 := instruments(meter, "handler", observe.HandlerMetrics)
	groups, err5 := instruments(meter, "group", observe.GroupMetrics)
	sent, err4 := meter.Float64ObservableCounter("headrace.producer.batches_sent",
		metric.WithDescription("Batches sent for the first time, by the reason why each one ended."))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	all := []metric.Observable{sent}
	for _, more := range [][]metric.Observable{observables(producers), observables(consumers), observables(handlers), observables(groups)} {
		all = append(all, more...)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, out metric.Observer) error {
		s := reg.Snapshot()
		for i := range s.Producers {
			p := &s.Producers[i]
			report(out, producers, p, p.Name)
			for cause, n := range p.Sent {
				out.ObserveFloat64(sent, float64(n), metric.WithAttributes(attribute.String("name", p.Name), attribute.String("cause", cause)))
			}
		}
		for i := range s.Consumers {
			report(out, consumers, &s.Consumers[i], s.Consumers[i].Name)
		}
		for i := range s.Handlers {
			report(out, handlers, &s.Handlers[i], s.Handlers[i].Name)
		}
		for i := range s.Groups {
			report(out, groups, &s.Groups[i], s.Groups[i].Name)
		}
		return nil
	}, all...)
	return err
}

// An instrument is a metric of the registry and what the SDK made of it.
type instrument[S any] struct {
	metric.Float64Observable
	read func(*S) float64
}

func instruments[S any](meter metric.Meter, kind string, metrics []observe.Metric[S]) ([]instrument[S], error) {
	var all []instrument[S]
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

func observables[S any](all []instrument[S]) (out []metric.Observable) {
	for _, i := range all {
		out = append(out, i.Float64Observable)
	}
	return out
}

func report[S any](out metric.Observer, all []instrument[S], s *S, name string) {
	for _, i := range all {
		out.ObserveFloat64(i.Float64Observable, i.read(s), metric.WithAttributes(attribute.String("name", name)))
	}
}
