package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/debug"
	headraceprom "github.com/headrace/headrace/observe/prometheus"
)

// A pageServer shows the work of the servers of this process: a page for people, and the same numbers for Prometheus.
// The page asks for no token and changes nothing. Its usual address is on the loopback interface.
type pageServer struct {
	http   http.Server
	url    string
	served chan struct{} // closed when http serves no more
}

// startPage serves the page about reg. The page and the metrics read the same registry, so they never disagree.
func startPage(addr string, reg *observe.Registry) (*pageServer, error) {
	numbers := prometheus.NewRegistry()
	if err := numbers.Register(headraceprom.New(reg)); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	// A registry of our own, and not Prometheus's default one: it would add numbers of the Go runtime that nobody has
	// asked for.
	mux.Handle("/metrics", promhttp.HandlerFor(numbers, promhttp.HandlerOpts{}))
	mux.Handle("/", debug.Handler(reg))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	// The request of a browser with the page open never ends by itself. Shutdown waits for open requests. So Shutdown
	// first ends the contexts of all requests.
	ctx, endRequests := context.WithCancel(context.Background())
	p := &pageServer{url: "http://" + l.Addr().String(), served: make(chan struct{})}
	// A client that sends no headers must not hold its connection for ever.
	p.http = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	p.http.RegisterOnShutdown(endRequests)
	go func() {
		defer close(p.served)
		_ = p.http.Serve(l) // the error is always ErrServerClosed, because the listener fails only when it is closed
	}()
	return p, nil
}

func (p *pageServer) Shutdown(ctx context.Context) error {
	err := p.http.Shutdown(ctx)
	if err != nil {
		_ = p.http.Close() // ctx has ended, so cut off the open requests
	}
	<-p.served
	return err
}
