package main

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWorkers(t *testing.T) {
	if err := run(t.Context(), filepath.Join(t.TempDir(), "workers.db"), 2000); err != nil {
		t.Error(err)
	}
}
