package postgres_test

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/streamstore"
)

// A stream in the database keeps checkpoints, also when its replaced records are trimmed.
func TestStreamKeepsCheckpoints(t *testing.T) {
	db, made := newDB(t, newPool(t)), 0
	open := func() checkpoint.Store {
		s := db.Stream(fmt.Sprintf("checkpoints-%d", made))
		return streamstore.New(s, streamstore.Trim(s.Trim, 10))
	}
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store {
		made++
		return open()
	}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store { return open() }))
}
