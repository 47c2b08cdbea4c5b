package admin_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
)

// A deletion whose reply was lost is done. That nothing is there any more when it is tried again is no failure, but what
// was never there is.
func TestADeletionWhoseReplyWasLostIsDone(t *testing.T) {
	var asked atomic.Int64
	var lost atomic.Bool
	c := fakeAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 && lost.Load() {
			hangUp()
		}
		refuse(w, 404, "access_token_not_found")
	})
	for what, call := range map[string]func() error{
		"token":  func() error { return c.RevokeAccessToken(t.Context(), "t") },
		"basin":  func() error { return c.DeleteBasin(t.Context(), basinName) },
		"stream": func() error { return c.Basin(basinName).DeleteStream(t.Context(), "s") },
	} {
		asked.Store(0)
		lost.Store(true)
		if err := call(); err != nil || asked.Load() != 2 {
			t.Errorf("%s: %v after %d attempts, want success at the second", what, err, asked.Load())
		}
		lost.Store(false)
		want(t, call(), backend.ErrNotFound)
	}
}

// What may have been created is not said to be certainly not: another call would find the name taken.
func TestACreationOfUnknownOutcomeIsIndeterminate(t *testing.T) {
	for what, h := range map[string]http.HandlerFunc{
		"no reply": func(http.ResponseWriter, *http.Request) { hangUp() },
		"storage":  func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "storage") },
	} {
		c := fakeAdmin(t, h, s2.Attempts(2))
		_, stream := c.Basin(basinName).CreateStream(t.Context(), "s", s2.StreamConfig{})
		_, basin := c.CreateBasin(t.Context(), basinName, admin.NewBasin{})
		for _, err := range []error{stream, basin} {
			if want(t, err, backend.ErrIndeterminate); errors.Is(err, backend.ErrTransient) {
				t.Errorf("%s: %v, which is called safe to do again", what, err)
			}
		}
		_, config := c.Basin(basinName).ReconfigureStream(t.Context(), "s", admin.StreamChange{})
		want(t, config, backend.ErrTransient)
	}
	c := fakeAdmin(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 429, "rate_limited") }, s2.Attempts(1))
	_, err := c.CreateBasin(t.Context(), basinName, admin.NewBasin{})
	want(t, err, backend.ErrTransient)
}
