package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestBasinsFromCreationToDeletion(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.PurgeAfter(time.Hour))
	c := dial(t, srv)
	off, on := false, true
	info, err := c.CreateBasin(ctx, "first-basin", admin.NewBasin{Location: "aws:eu-north-1", Config: &admin.BasinConfig{
		CreateStreamOnAppend: true, DefaultStreamConfig: &s2.StreamConfig{Retention: &s2.Retention{Age: 90 * time.Second}}}})
	check(t, err)
	if info.Name != "first-basin" || info.Location != "aws:eu-north-1" || info.CreatedAt.IsZero() || info.Deleting() {
		t.Errorf("created %+v", info)
	}
	_, err = c.CreateBasin(ctx, "first-basin", admin.NewBasin{})
	want(t, err, backend.ErrConflict)
	for _, bad := range []string{"", "short", "Upper-case", "-hyphen-first", "hyphen-last-", strings.Repeat("x", 49), "a/../b-c-d"} {
		_, err = c.CreateBasin(ctx, bad, admin.NewBasin{})
		want(t, err, backend.ErrRejected)
		want(t, c.DeleteBasin(ctx, bad), backend.ErrRejected)
	}

	if _, p, err := c.EnsureBasin(ctx, "second-basin", admin.NewBasin{}); err != nil || p != admin.Created {
		t.Errorf("ensured a new one: %q, %v", p, err)
	}
	if _, p, err := c.EnsureBasin(ctx, "second-basin", admin.NewBasin{}); err != nil || p != admin.Unchanged {
		t.Errorf("ensured the same: %q, %v", p, err)
	}
	if _, p, err := c.EnsureBasin(ctx, "second-basin", admin.NewBasin{Config: &admin.BasinConfig{CreateStreamOnRead: true}}); err != nil || p != admin.Updated {
		t.Errorf("ensured another config: %q, %v", p, err)
	}
	cfg, err := c.BasinConfig(ctx, "second-basin")
	if err != nil || !cfg.CreateStreamOnRead || cfg.CreateStreamOnAppend {
		t.Errorf("config %+v, %v", cfg, err)
	}
	cfg, err = c.ReconfigureBasin(ctx, "first-basin", admin.BasinChange{CreateStreamOnAppend: admin.Set(off), CreateStreamOnRead: admin.Set(on)})
	if err != nil || cfg.CreateStreamOnAppend || !cfg.CreateStreamOnRead || cfg.DefaultStreamConfig == nil || cfg.DefaultStreamConfig.Retention.Age != 90*time.Second {
		t.Errorf("reconfigured to %+v, %v: what is not named stays", cfg, err)
	}
	if _, err := c.BasinConfig(ctx, "third-basin"); !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "third-basin") {
		t.Errorf("%v, want ErrNotFound with the name", err)
	}

	for range 2 {
		check(t, c.DeleteBasin(ctx, "first-basin")) // again is no error
	}
	wantNames(t, "basins", names(t, c.Basins(ctx, admin.List{}), func(b admin.BasinInfo) string { return b.Name }), []string{"second-basin"})
	dying := all(t, c.Basins(ctx, admin.List{Deleting: true}))
	if len(dying) != 2 || !dying[0].Deleting() || dying[1].Deleting() {
		t.Errorf("with those in deletion: %+v", dying)
	}
	_, err = c.CreateBasin(ctx, "first-basin", admin.NewBasin{})
	want(t, err, backend.ErrNotFound) // its name is free later
}
