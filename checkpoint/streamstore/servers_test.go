package streamstore_test

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/streamstore"
)

// Checkpoints keep the contract on streams behind the wire of each protocol that has one stream for many writers.
func TestContractOnServers(t *testing.T) {
	t.Run("S2", func(t *testing.T) {
		basin := s2test.New(t, s2test.Basin("checkpoints", true)).Client().Basin("checkpoints")
		contract(t, func(name string) (backend.Stream, []streamstore.Option) {
			s := basin.Stream(name)
			return s, []streamstore.Option{streamstore.Trim(s.Trim, 10)}
		})
	})
	t.Run("Durable Streams", func(t *testing.T) {
		client := durablestreamstest.New(t).Client()
		contract(t, func(name string) (backend.Stream, []streamstore.Option) {
			s := client.Stream(name)
			// A second Create of the same stream changes nothing. Durable Streams cannot be trimmed.
			if _, err := s.Create(t.Context(), "application/json"); err != nil {
				t.Fatal(err)
			}
			return s, nil
		})
	})
}

// contract checks stores on streams that stream makes, each of a new name, and two stores behind one another on one stream.
func contract(t *testing.T, stream func(name string) (backend.Stream, []streamstore.Option)) {
	made := 0
	open := func() checkpoint.Store {
		s, opts := stream(fmt.Sprintf("checkpoints-%d", made))
		return streamstore.New(s, opts...)
	}
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store {
		made++
		return open()
	}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store { return open() }))
}
