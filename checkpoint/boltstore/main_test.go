package boltstore

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the child process of TestSaveTxSurvivesKill.
func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}
