package main

import (
	"errors"
	"flag"
	"path/filepath"
	"time"

	dsserver "github.com/headrace/headrace/backend/durablestreams/server"
)

// streamRoot is the path under which the test suites of the protocol expect streams.
const streamRoot = "/v1/stream/"

// durableStreamsService serves the Durable Streams protocol.
func durableStreamsService() service {
	var longPoll time.Duration
	return service{
		name: "durable-streams",
		flags: func(set *flag.FlagSet) *flags {
			f := new(flags)
			set.StringVar(&f.addr, "durable-streams", "", "serve Durable Streams on this `host:port`; port 0 picks a free one")
			set.DurationVar(&longPoll, "long-poll", 30*time.Second, "how long a Durable Streams long-poll waits for data")
			return f
		},
		start: func(f *flags, data string) (server, error) {
			c := dsserver.Config{Path: dsserver.Prefix(streamRoot), LongPoll: longPoll}
			if data != "" {
				c.Data = filepath.Join(data, "durable-streams.db")
			}
			s, err := dsserver.New(c)
			if err != nil {
				return nil, err
			}
			if err := s.Start(f.addr); err != nil {
				return nil, errors.Join(err, s.Close())
			}
			return durableStreamsServer{s}, nil
		},
	}
}

type durableStreamsServer struct{ *dsserver.Server }

func (s durableStreamsServer) Address() string { return s.URL() + streamRoot }
