// Package observe collects the numbers of the producers and consumers of a process, for metrics and for a page in a browser.
// Package observe/prometheus exports the numbers, observe/debug shows them in a browser, observe/otel adds traces.
//
// A [Registry] gives options for producers and consumers; nothing else has to be called:
//
//	reg := observe.NewRegistry()
//	p, err := producer.New(ctx, sink, c, reg.Producer("orders"))
//	c, err := consumer.New(source, c, reg.Consumer("billing"))
//	err = c.Process(ctx, handler, consumer.Use(observe.Handler[Order](reg, "billing")))
//
// The names become labels of the metrics. The numbers of producers with the same name are added up, and the numbers of consumers
// too. An ended instance leaves its counts in the sum: falling counters would look like a restart to Prometheus. A Registry costs a
// few atomic additions for each batch, and nothing for each record; [Handler] reads the clock twice for each record.
package observe
