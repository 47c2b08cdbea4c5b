package admin_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
)

// An answer without the header that says what was done says it by its status.
func TestAProvisionIsToldByItsStatus(t *testing.T) {
	for status, want := range map[int]admin.Provision{http.StatusCreated: admin.Created, http.StatusOK: ""} {
		c := fakeAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"name":"x"}`)
		})
		if _, p, err := c.EnsureBasin(t.Context(), basinName, admin.NewBasin{}); p != want || err != nil {
			t.Errorf("status %d: basin %q, %v, want %q", status, p, err, want)
		}
		if _, p, err := c.Basin(basinName).EnsureStream(t.Context(), "s", s2.StreamConfig{}); p != want || err != nil {
			t.Errorf("status %d: stream %q, %v, want %q", status, p, err, want)
		}
	}
}
