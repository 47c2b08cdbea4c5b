package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEventsAreSummedUpAndMalformedLinesTold(t *testing.T) {
	in := strings.Join([]string{
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}`,
		`panic: not JSON`,
		``,
		`{"Package":"p"}`,
		`{"Action":"pass","Package":"p","Elapsed":0.25}`,
	}, "\n")
	dir := t.TempDir()
	for round := range 2 { // again on the same data: what was told is not told again
		var out strings.Builder
		if err := run(t.Context(), dir, strings.NewReader(in), &out); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := []string{
			"pass p: 1 passed, 0 failed, 0 skipped in 0.25s",
			"3 events",
			"dead letter: line 3: ",
			"dead letter: line 5: ",
		}
		if len(got) != len(want) {
			t.Fatalf("round %d printed:\n%s", round, out.String())
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("line %d is %q, want %q…", i, got[i], want[i])
			}
		}
	}
}
