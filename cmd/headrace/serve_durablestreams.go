package main

import (
	"errors"
	"path/filepath"

	dsserver "github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/observe"
)

// streamRoot is the path under which the test suites of the protocol expect streams.
const streamRoot = "/v1/stream/"

// startDurableStreams serves the Durable Streams protocol. The data has a file of its own in the directory, so the file
// of S2 can be deleted alone.
func startDurableStreams(c *serveCmd) (server, error) {
	config := dsserver.Config{Path: dsserver.Prefix(streamRoot), LongPoll: c.LongPoll}
	if c.Data != "" {
		config.Data = filepath.Join(c.Data, "durable-streams.db")
	}
	s, err := dsserver.New(config)
	if err != nil {
		return nil, err
	}
	// A server that cannot start still holds its file, so it is closed here.
	if err := s.Start(c.DurableStreams); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return durableStreamsServer{s}, nil
}

type durableStreamsServer struct{ *dsserver.Server }

// Address is the URL of all streams: a client adds only the name.
func (s durableStreamsServer) Address() string { return s.URL() + streamRoot }

func (s durableStreamsServer) numbers() observe.Server {
	n := s.Stats()
	return observe.Server{
		Calls: n.Calls, Open: n.Open, Streams: n.Streams, Appends: n.Appends, Bytes: n.Bytes, ReadBytes: n.ReadBytes, Faults: n.Faults,
	}
}

// durableStreamsHint is two commands that can be copied. Durable Streams needs no variables, because the URL of a
// stream says everything.
func durableStreamsHint(s server) string {
	stream := "ds+" + s.Address() + "orders"
	return "  headrace create " + stream + "\n  headrace tail " + stream
}
