package streamstore_test

import (
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/streamstore"
)

// A stream in a file keeps the checkpoints over the end of the process.
func TestContractOnBolt(t *testing.T) {
	var path string
	var db *bolt.DB
	open := func(t *testing.T) checkpoint.Store {
		var err error
		if db, err = bolt.Open(path); err != nil {
			t.Fatal(err)
		}
		opened := db
		t.Cleanup(func() { _ = opened.Close() })
		s := db.Stream("checkpoints")
		return streamstore.New(s, streamstore.Trim(s.Trim, 10))
	}
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
		path = filepath.Join(t.TempDir(), "streams.db")
		return open(t)
	}, checkpointtest.Reopen(func(t *testing.T, _ checkpoint.Store) checkpoint.Store {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t)
	}))
}
