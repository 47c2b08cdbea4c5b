package checkpoint

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the child process of the tests that need one: see child_test.go.
func TestMain(m *testing.M) {
	if work := os.Getenv(childWork); work != "" {
		os.Exit(child(work, os.Getenv(childPath)))
	}
	goleak.VerifyTestMain(m)
}
