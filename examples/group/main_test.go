package main

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is also the worker.
func TestMain(m *testing.M) {
	if runWorker(context.Background()) {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestOneOfThreeIsKilled(t *testing.T) {
	if err := run(t.Context(), t.Output(), t.TempDir(), "", 100, 2*time.Second); err != nil {
		t.Error(err)
	}
}

func TestOneOfThreeIsKilledWithPostgreSQL(t *testing.T) {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	if err := run(t.Context(), t.Output(), t.TempDir(), dsn, 100, 2*time.Second); err != nil {
		t.Error(err)
	}
}
