package main

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"time"

	dsserver "github.com/headrace/headrace/backend/durablestreams/server"
)

// streamRoot is where the protocol's own suites expect streams.
const streamRoot = "/v1/stream/"

// durableStreamsService serves the Durable Streams protocol.
func durableStreamsService() service {
	var longPoll time.Duration
	return service{
		name: "durable-streams",
		flags: func(set *flag.FlagSet) *flags {
			f := new(flags)
			set.StringVar(&f.addr, "durable-streams", "", "serve Durable Streams on this `host:port`; port 0 picks a free one")
			set.DurationVar(&longPoll, "long-poll", 30*time.Second, "how long Durable Streams long-polls wait for data")
			return f
		},
		start: func(f *flags, data string) (server, error) {
			s, err := startDurableStreams(f.addr, data, longPoll)
			if err != nil {
				return nil, err // not a nil pointer in an interface
			}
			return s, nil
		},
	}
}

type durableStreamsServer struct {
	*dsserver.Server
	close func() error
}

func startDurableStreams(addr, data string, longPoll time.Duration) (*durableStreamsServer, error) {
	var (
		storage   dsserver.Storage
		closeData func() error
	)
	if data == "" {
		m := dsserver.NewMemory()
		storage, closeData = m, m.Close
	} else {
		b, err := dsserver.OpenBolt(filepath.Join(data, "durable-streams.db"))
		if err != nil {
			return nil, err
		}
		storage, closeData = b, b.Close
	}
	s, err := dsserver.Start(addr, dsserver.New(storage, dsserver.Prefix(streamRoot), dsserver.LongPoll(longPoll)))
	if err != nil {
		return nil, errors.Join(err, closeData())
	}
	return &durableStreamsServer{s, closeData}, nil
}

func (s *durableStreamsServer) Address() string { return "http://" + s.Server.Address() + streamRoot }

// Shutdown closes the storage when no request uses it any more.
func (s *durableStreamsServer) Shutdown(ctx context.Context) error {
	return errors.Join(s.Server.Shutdown(ctx), s.close())
}
