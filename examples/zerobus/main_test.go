package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The strict in-process table takes both formats, so their rows fit its columns.
func TestBothFormatsFitTheTable(t *testing.T) {
	t.Setenv("ZEROBUS_ENDPOINT", "")
	t.Setenv("ZEROBUS_TABLE", "")
	if err := run(t.Context(), 2500); err != nil {
		t.Fatal(err)
	}
}
