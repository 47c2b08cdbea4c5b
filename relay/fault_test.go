package relay_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	durable "github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/backend/memory"
	s2server "github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/relay"
)

// The server breaks the connection, before or after it has stored a batch, at each batch in turn.
func TestConnectionThatBreaksAtAnyBatchLosesAndRepeatsNothing(t *testing.T) {
	toDurable, durableServer := durableServer(t)
	toS2, s2Server := s2Server(t)
	for name, f := range map[string]struct {
		make func() target
		cut  func(skip int)
	}{
		"durablestreams, answer lost": {toDurable, func(skip int) {
			durableServer.Inject(durable.Fault{Op: durable.AppendCall, Stage: durable.Replying, Skip: skip, Times: 2, Do: durable.Drop()})
		}},
		"durablestreams, append lost": {toDurable, func(skip int) {
			durableServer.Inject(durable.Fault{Op: durable.AppendCall, Stage: durable.Received, Skip: skip, Times: 2, Do: durable.Drop()})
		}},
		"s2, ack lost": {toS2, func(skip int) {
			s2Server.Inject(s2server.Fault{Op: s2server.AnyAppend, Stage: s2server.Replying, Skip: skip, Times: 2, Do: s2server.Drop()})
		}},
		"s2, append lost": {toS2, func(skip int) {
			s2Server.Inject(s2server.Fault{Op: s2server.AnyAppend, Stage: s2server.Received, Skip: skip, Times: 2, Do: s2server.Drop()})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			from := fill(t, records)
			for skip := range 10 {
				to := f.make()
				f.cut(skip)
				if err := run(t.Context(), newProcess(-1, false), from, to, checkpoint.NewMemory()); err != nil {
					t.Fatalf("broken at batch %d: %v", skip, err)
				}
				wantAll(t, to, records)
			}
		})
	}
}

func TestLoggerHearsOfEachRetry(t *testing.T) {
	var log bytes.Buffer
	store := checkpointtest.NewFlaky(checkpoint.NewMemory(), checkpointtest.Fault{Op: checkpointtest.Claim, Times: 2})
	err := relay.Run(t.Context(), memory.New(), memory.New(), store, "copy", relay.StopAtTail(),
		relay.Backoff(0, 0), relay.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	if n := strings.Count(log.String(), "trying again"); err != nil || n != 2 {
		t.Errorf("%v, and %d warnings, want 2:\n%s", err, n, log.String())
	}
}
