package admin_test

import (
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestLocations(t *testing.T) {
	ctx := t.Context()
	c := dial(t, s2test.New(t))
	all, err := c.Locations(ctx)
	if err != nil || len(all) < 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	set, err := c.SetDefaultLocation(ctx, all[0].Name)
	if err != nil || set.Name != all[0].Name {
		t.Errorf("%+v, %v", set, err)
	}
	if got, err := c.DefaultLocation(ctx); err != nil || got != set {
		t.Errorf("%+v, %v, want %+v", got, err, set)
	}
	if b, err := c.CreateBasin(ctx, "where-it-goes", admin.NewBasin{}); err != nil || b.Location != set.Name {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = c.SetDefaultLocation(ctx, "no/where")
	want(t, err, backend.ErrRejected)
}
