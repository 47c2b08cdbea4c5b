package s2_test

import (
	"errors"
	"testing"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
)

// nobody is an address where nothing listens. A port that was free a moment ago will not do: another test may get it.
const nobody = "http://127.0.0.1:1"

// manage manages the streams of the basin that the tests use.
func manage(c *s2.Client) *admin.Basin { return admin.New(c).Basin(basinName) }

func want(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v, want %v", err, kind)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
