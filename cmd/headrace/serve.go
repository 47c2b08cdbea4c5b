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

// drainTimeout is how long clients may take to finish their requests after the first signal.
const drainTimeout = 10 * time.Second

// A service is one kind of server. Each service has a file of its own with a function that returns it.
type service struct {
	name  string // as in the line that says that the server is ready
	flags func(*flag.FlagSet) *flags
	start func(f *flags, data string) (server, error)
}

// flags are the flags that every service has. A service runs if addr was given.
type flags struct {
	addr  string
	token string
}

// A server is a running service.
type server interface {
	Address() string
	Shutdown(ctx context.Context) error
}

// services returns all services. A new service must be added here.
func services() []service { return []service{s2Service(), zerobusService(), durableStreamsService()} }

// A serveCmd runs servers. Its flags are those of the services.
type serveCmd struct {
	Args []string `arg:"" optional:"" passthrough:"" help:"See headrace serve -h."`
}

// Run serves until a signal.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	err := serve(ctx, c.Args, std.out, std.err)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

const usage = `usage: headrace serve [flags]

serve runs servers for development and tests until it is interrupted. Name at least one server by its flag.

`

// serve starts the services that the flags name, and stops them when ctx ends.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		set.PrintDefaults()
	}
	data := set.String("data", "", "keep all data in this `directory`, which is created if it does not exist (default: keep data in memory)")
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

// stop ends all servers at the same time, within drainTimeout. Clients that had to be disconnected after drainTimeout
// are not an error.
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
