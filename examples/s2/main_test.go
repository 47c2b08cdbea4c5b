package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOrdersComeBack(t *testing.T) {
	t.Setenv("S2_ACCESS_TOKEN", "")
	var out strings.Builder
	if err := run(t.Context(), &out, "orders", 2500); err != nil {
		t.Fatal(err)
	}
	// 1 to 2500, and 99 for each.
	if want := "read 2500 orders, each once and in order, of 3373750 cents in all"; !strings.Contains(out.String(), want) {
		t.Errorf("printed:\n%swant %q", out.String(), want)
	}
}

// With a basin in the environment it is used, and a second run goes on behind the first.
func TestTheBasinOfTheEnvironment(t *testing.T) {
	srv := s2test.New(t, s2test.Basin("my-own-basin", false), s2test.Token("my-token"))
	t.Setenv("S2_ACCESS_TOKEN", "my-token")
	t.Setenv("S2_BASIN", "my-own-basin")
	t.Setenv("S2_ACCOUNT_ENDPOINT", srv.URL())
	t.Setenv("S2_BASIN_ENDPOINT", srv.URL())
	for range 2 {
		var out strings.Builder
		if err := run(t.Context(), &out, "orders", 10); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "basin my-own-basin") || !strings.Contains(out.String(), "read 10 orders") {
			t.Errorf("printed:\n%s", out.String())
		}
	}
	if got := srv.Stats().Records; got != 22 { // a fence each time
		t.Errorf("the server stored %d records, want 22", got)
	}
}
