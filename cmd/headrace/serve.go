package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// drainTimeout is how long clients may take to end what is under way.
const drainTimeout = 10 * time.Second

// A service is one system that can be served. Each has a file of its own, which adds it to services.
type service struct {
	name  string // as in the readiness line
	flags func(*flag.FlagSet) *flags
	start func(f *flags, data string) (server, error)
}

// flags are what every service has: where to listen. It runs if that is given.
type flags struct {
	addr  string
	token string
}

// A server is a service that runs.
type server interface {
	Address() string
	Shutdown(ctx context.Context) error
}

// services are listed here and nowhere else.
func services() []service { return []service{s2Service(), zerobusService(), durableStreamsService()} }

// serve starts what the flags name and stops it when ctx ends.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		set.PrintDefaults()
	}
	data := set.String("data", "", "keep everything in this `directory`, which is made if there is none (default: in memory)")
	all := services()
	given := make([]*flags, len(all))
	for i := range all {
		given[i] = all[i].flags(set)
	}
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if set.NArg() > 0 {
		fmt.Fprintf(stderr, "headrace: serve: unexpected argument %q\n", set.Arg(0))
		return errUsage
	}
	if *data != "" {
		if err := os.MkdirAll(*data, 0o700); err != nil {
			return err
		}
	}
	var running []server
	defer func() { err = errors.Join(err, stop(running)) }()
	for i := range all {
		if given[i].addr == "" {
			continue
		}
		s, err := all[i].start(given[i], *data)
		if err != nil {
			return err
		}
		running = append(running, s)
		if _, err := fmt.Fprintf(stdout, "headrace: %s ready on %s\n", all[i].name, s.Address()); err != nil {
			return err
		}
	}
	if len(running) == 0 {
		set.Usage()
		return errUsage
	}
	<-ctx.Done()
	return nil
}

// stop ends all servers at once, each within drainTimeout. That clients had to be cut off is no failure.
func stop(running []server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	ended := make(chan error)
	for _, s := range running {
		go func() { ended <- s.Shutdown(ctx) }()
	}
	var all error
	for range running {
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			all = errors.Join(all, err)
		}
	}
	return all
}
