package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/headrace/headrace/observe"
)

// drainTimeout is how long clients may take to finish their requests after the first signal.
const drainTimeout = 10 * time.Second

// A serveCmd runs servers for development and tests. The servers are those of the library, as s2test and its sisters
// start them: a program that passes its tests against one of them finds the same server here.
type serveCmd struct {
	Data string `help:"Keep the data of S2 and Durable Streams in this directory, which is made if it is missing. Default: memory." placeholder:"DIR"`

	S2       string `name:"s2" help:"Serve S2 on this address; port 0 picks a free port." placeholder:"HOST:PORT"`
	S2Token  string `name:"s2-token" help:"The token that S2 clients must send. Default: any." placeholder:"TOKEN"`
	S2Retain int    `name:"s2-retain" help:"Drop the oldest records of an S2 stream that uses more than this many bytes of memory. Default: keep all." placeholder:"BYTES"`

	DurableStreams string        `help:"Serve Durable Streams on this address." placeholder:"HOST:PORT"`
	LongPoll       time.Duration `help:"How long a Durable Streams long-poll waits for data." default:"30s"`

	Zerobus       string   `help:"Serve Zerobus on this address." placeholder:"HOST:PORT"`
	OAuth         string   `name:"oauth" help:"Serve the OAuth endpoint of Zerobus on this address." placeholder:"HOST:PORT"`
	ZerobusClient string   `help:"The service principal that Zerobus clients must be. Default: any." placeholder:"ID:SECRET"`
	Table         []string `help:"Declare a Zerobus table, with the columns of the serialized DescriptorProto in FILE. May be repeated. Other tables are made at their first use." placeholder:"NAME[=FILE]" sep:"none"`
	Rows          string   `help:"Append the rows that Zerobus stores to this file, as lines of JSON." placeholder:"FILE"`

	Metrics string `help:"Serve a page that shows what the servers do, and the same numbers for Prometheus at /metrics." placeholder:"HOST:PORT"`
}

// Help is the text of serve --help behind the first line.
func (c *serveCmd) Help() string {
	return `Without the address of a server, serve runs all servers on their usual ports and prints what clients need:

    S2 on 127.0.0.1:4243, Zerobus on 127.0.0.1:4244 with OAuth on 127.0.0.1:4245, Durable Streams on 127.0.0.1:4437,
    the page on 127.0.0.1:4246

Each server writes one line to standard output when it is ready. The first signal ends the servers within ten seconds, even if
clients are connected; a second one ends the process at once.`
}

// A server is a running service. The servers of the library have no common interface, because their numbers and
// addresses differ. The adapters beside the start functions give them one.
type server interface {
	Address() string
	numbers() observe.Server
	shutdowner
}

type shutdowner interface {
	Shutdown(ctx context.Context) error
}

// A service is one kind of server. The table in services is all that serve knows of a protocol. A new kind of server
// needs one row and one file.
type service struct {
	name  string // as in the line that says that the server is ready
	addr  *string
	usual string // the address when no server is given an address
	start func(*serveCmd) (server, error)
	hint  func(server) string // what a shell needs to reach the server
}

// services returns the table. The rows point into c, and read and set the address of their server there. The ports are
// the ones that the clients of each protocol know: 4437 comes from the servers of Durable Streams.
func (c *serveCmd) services() []service {
	return []service{
		{"s2", &c.S2, "127.0.0.1:4243", startS2, s2Hint},
		{"zerobus", &c.Zerobus, "127.0.0.1:4244", startZerobus, zerobusHint},
		{"durable-streams", &c.DurableStreams, "127.0.0.1:4437", startDurableStreams, durableStreamsHint},
	}
}

// Run starts the services that were asked for, and stops them when ctx ends.
func (c *serveCmd) Run(ctx context.Context, std streams) error { return c.serve(ctx, std.out) }

// serve runs the servers. They share one registry, so one page shows all of them.
func (c *serveCmd) serve(ctx context.Context, out io.Writer) (err error) {
	all := c.services()
	everything := !slices.ContainsFunc(all, func(s service) bool { return *s.addr != "" })
	if everything {
		c.takeUsualAddresses(all)
	}
	if err := c.unused(); err != nil {
		return err
	}
	if c.Data != "" {
		// 0700, because the files hold records and the rights of tokens.
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return err
		}
	}
	var running []shutdowner
	// If the second server cannot start, the first one is stopped: its file would otherwise stay locked until the
	// process ends.
	defer func() { err = errors.Join(err, stop(running)) }()
	reg := observe.NewRegistry()
	for _, service := range all {
		if *service.addr == "" {
			continue
		}
		s, err := service.start(c)
		if err != nil {
			return fmt.Errorf("serve %s: %w", service.name, err)
		}
		running = append(running, s)
		reg.Server(service.name, s.numbers)
		// Scripts wait for this line, so it comes only when the server accepts connections. The address is the real
		// one, also for port 0. A reader that is gone ends serve: nobody would know the ports.
		if _, err := fmt.Fprintf(out, "headrace: %s ready on %s\n", service.name, s.Address()); err != nil {
			return err
		}
		if everything {
			fmt.Fprintln(out, service.hint(s))
		}
	}
	if c.Metrics != "" {
		p, err := startPage(c.Metrics, reg)
		if err != nil {
			return fmt.Errorf("serve the page: %w", err)
		}
		running = append(running, p)
		if _, err := fmt.Fprintf(out, "headrace: page ready on %s, metrics on %s/metrics\n", p.url, p.url); err != nil {
			return err
		}
	}
	// The servers work in goroutines of their own. Nothing is left to do here but to wait for the signal.
	<-ctx.Done()
	return nil
}

// takeUsualAddresses makes all services run, and the page. An address that the user has given stays, so --metrics alone
// moves only the page.
func (c *serveCmd) takeUsualAddresses(all []service) {
	for _, s := range all {
		*s.addr = s.usual
	}
	c.OAuth = cmp.Or(c.OAuth, "127.0.0.1:4245")
	c.Metrics = cmp.Or(c.Metrics, "127.0.0.1:4246")
}

// unused refuses a flag of a server that does not run. Otherwise a user who has forgotten the address of the server
// would, for example, believe that data is kept.
func (c *serveCmd) unused() error {
	for _, f := range []struct {
		flag, needs string
		unused      bool
	}{
		// --long-poll is not here: it has a default, and the tool cannot see whether the user has given it.
		{"--data", "--s2 or --durable-streams", c.Data != "" && c.S2 == "" && c.DurableStreams == ""},
		{"--s2-token", "--s2", c.S2Token != "" && c.S2 == ""},
		{"--s2-retain", "--s2", c.S2Retain != 0 && c.S2 == ""},
		{"--oauth", "--zerobus", c.OAuth != "" && c.Zerobus == ""},
		{"--zerobus-client", "--zerobus", c.ZerobusClient != "" && c.Zerobus == ""},
		{"--table", "--zerobus", len(c.Table) > 0 && c.Zerobus == ""},
		{"--rows", "--zerobus", c.Rows != "" && c.Zerobus == ""},
	} {
		if f.unused {
			return fmt.Errorf("%w: %s needs %s", errUsage, f.flag, f.needs)
		}
	}
	return nil
}

// stop ends all servers at the same time, within drainTimeout. It is no error if clients are disconnected after
// drainTimeout. One after another, the servers would need up to drainTimeout each. The context is a new one, because
// the context of the command has ended with the signal.
func stop(running []shutdowner) error {
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
