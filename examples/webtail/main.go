// Webtail serves a stream, and a web page with the arriving records. Open the printed address, and append from
// anywhere:
//
//	curl -H 'Content-Type: application/json' -d '{"text":"hello"}' http://127.0.0.1:8080/v1/stream/tail
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

//go:embed page.html
var page []byte

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	file := flag.String("file", "", "the file that keeps the stream (default: in memory)")
	every := flag.Duration("every", time.Second, "how often the program appends the time; 0: never")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", l.Addr())
	if err := run(ctx, l, *file, *every, 0); err != nil {
		log.Fatal(err)
	}
}

// run serves on l until ctx ends. The response to a following page ends after lifetime; 0 means the default.
func run(ctx context.Context, l net.Listener, file string, every, lifetime time.Duration) (err error) {
	storage, closeStorage, err := open(file)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, closeStorage()) }()
	streams, err := server.New(server.Config{Storage: storage, Lifetime: lifetime})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if _, _, err := storage.Create(ctx, "/v1/stream/tail", server.Creation{ContentType: "application/json"}); err != nil {
		return errors.Join(err, l.Close())
	}

	mux := http.NewServeMux()
	mux.Handle("/v1/stream/", streams)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
		_, _ = w.Write(page) // an error means only that the browser has gone
	})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	// The response to a following page does not end by itself, so a shutdown must end the response.
	web.RegisterOnShutdown(func() { _ = streams.Close() })
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()

	tickErr := tick(ctx, "http://"+l.Addr().String()+"/v1/stream/tail", every)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = errors.Join(tickErr, web.Shutdown(last))
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func open(file string) (server.Storage, func() error, error) {
	if file == "" {
		m := server.NewMemory()
		return m, m.Close, nil
	}
	b, err := server.OpenBolt(file)
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// tick appends the time until ctx ends. It uses plain HTTP, as any other program could.
func tick(ctx context.Context, url string, every time.Duration) error {
	if every <= 0 {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			body, err := json.Marshal(map[string]string{"text": now.Format(time.TimeOnly)})
			if err != nil {
				return err
			}
			r, err := http.Post(url, "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			_ = r.Body.Close()
			if r.StatusCode != http.StatusNoContent {
				return fmt.Errorf("append: %s", r.Status)
			}
		}
	}
}
