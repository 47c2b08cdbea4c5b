// Observed is a service with everything for its operator: Prometheus metrics, and a page about its producers and
// consumers. Open the printed address; the metrics are under /metrics.
//
//	go run ./examples/observed
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/debug"
	headraceprom "github.com/headrace/headrace/observe/prometheus"
	"github.com/headrace/headrace/producer"
)

type order struct {
	ID       int    `json:"id"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	rate := flag.Int("rate", 2000, "orders a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the page: http://%s/debug/headrace/\nthe metrics: http://%s/metrics\n", l.Addr(), l.Addr())
	if err := run(ctx, l, *rate); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

// run places and bills orders until ctx ends, and serves the debug page and the metrics on l.
func run(ctx context.Context, l net.Listener, rate int) error {
	reg := observe.NewRegistry()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(headraceprom.New(reg))
	mux := http.NewServeMux()
	mux.Handle("/debug/headrace/", debug.Handler(reg))
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}

	orders, letters := memory.New(), memory.New()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	g.Go(func() error { return place(ctx, orders, reg, rate) })
	g.Go(func() error { return bill(ctx, orders, letters, reg) })
	return g.Wait()
}

// place writes orders at the given rate.
func place(ctx context.Context, orders *memory.Stream, reg *observe.Registry, rate int) error {
	p, err := producer.New(ctx, orders, codec.JSON[order](), reg.Producer("orders"))
	if err != nil {
		return err
	}
	defer p.Close()
	const perSecond = 20
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for id := 0; ; {
		for range max(1, rate/perSecond) {
			id++
			if _, err := p.Enqueue(ctx, order{ID: id, Customer: fmt.Sprintf("customer-%d", id%100), Cents: int64(id % 977)}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errDeclined = errors.New("the card was declined")

// bill handles orders. Some orders fail at first, and a few fail for good and become dead letters.
func bill(ctx context.Context, orders, letters *memory.Stream, reg *observe.Registry) error {
	dead, err := producer.New(ctx, letters, codec.JSON[consumer.DeadLetter](), reg.Producer("orders.dead"))
	if err != nil {
		return err
	}
	defer dead.Close()
	c, err := consumer.New(orders, codec.JSON[order](), reg.Consumer("billing"), consumer.DeadLetters(dead))
	if err != nil {
		return err
	}
	return c.Process(ctx, func(ctx context.Context, m consumer.Message[order]) error {
		switch {
		case m.Value.ID%5000 == 0:
			return consumer.Permanent(fmt.Errorf("order %d: %w", m.Value.ID, errDeclined))
		case rand.IntN(1000) == 0:
			return fmt.Errorf("order %d: the bank does not answer", m.Value.ID)
		case rand.IntN(100) == 0:
			time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond) // now and then the bank is slow
		}
		return nil
	}, consumer.Concurrency(8), c.KeyBy(func(o order) string { return o.Customer }), consumer.Use(observe.Handler[order](reg, "billing")))
}
