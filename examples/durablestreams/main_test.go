package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, t.TempDir(), "127.0.0.1:0", 25, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"display", "archive"} {
		if !strings.Contains(out.String(), name+" saw 25 readings and the end\n") || !strings.Contains(out.String(), name+" s0 22.4\n") {
			t.Errorf("%s did not see all:\n%s", name, out.String())
		}
	}
}
