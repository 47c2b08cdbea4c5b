package main

import (
	"context"
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
			s, err := startDurableStreams(f.addr, data, longPoll)
			if err != nil {
				// Return a plain nil here: a nil *durableStreamsServer in the interface would not compare equal to nil.
				return nil, err
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

// Shutdown ends the server first, and then closes the storage, because requests use the storage until they end.
func (s *durableStreamsServer) Shutdown(ctx context.Context) error {
	return errors.Join(s.Server.Shutdown(ctx), s.close())
}
