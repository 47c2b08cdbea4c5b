package admin

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// BasinInfo is the entry of a basin in a listing.
type BasinInfo struct {
	Name      string     `json:"name"`
	Location  string     `json:"location"` // older servers say Scope instead
	Scope     string     `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"` // set while the basin is in deletion
	State     string     `json:"state"`      // of older servers: "active", "deleting"
}

// Deleting reports whether the basin is in deletion.
func (b BasinInfo) Deleting() bool { return b.DeletedAt != nil || b.State == "deleting" }

// A NewBasin says how to create a basin.
type NewBasin struct {
	Config   *BasinConfig `json:"config,omitempty"`
	Location string       `json:"location,omitempty"` // "" is the account's default
}

// Basins iterates over the account's basins, by name. The loop fetches a page at a time. After an
// error the loop ends.
func (a *Admin) Basins(ctx context.Context, l List) iter.Seq2[BasinInfo, error] {
	return a.basins().all(ctx, l)
}

// BasinsPage returns one page of [Admin.Basins].
func (a *Admin) BasinsPage(ctx context.Context, l List) (Page[BasinInfo], error) {
	return a.basins().first(ctx, l)
}

func (a *Admin) basins() listing[BasinInfo] {
	return listing[BasinInfo]{
		client:  a.client,
		request: s2.Request{Op: "list basins", Path: []string{"basins"}},
		field:   "basins",
		name:    func(b BasinInfo) string { return b.Name },
		deleted: BasinInfo.Deleting,
	}
}

// CreateBasin creates a basin. A taken name is [backend.ErrConflict].
func (a *Admin) CreateBasin(ctx context.Context, name string, b NewBasin) (BasinInfo, error) {
	op := "create basin " + name
	if err := names.CheckBasin(name); err != nil {
		return BasinInfo{}, refused("create basin", err)
	}
	return call[BasinInfo](ctx, a.client, s2.Request{Op: op, Method: http.MethodPost, Path: []string{"basins"}, Header: requestToken(), Body: struct {
		Basin string `json:"basin"`
		NewBasin
	}{name, b}})
}

// EnsureBasin creates a basin, or gives an existing basin this configuration, and returns the effect.
func (a *Admin) EnsureBasin(ctx context.Context, name string, b NewBasin) (BasinInfo, Provision, error) {
	if err := names.CheckBasin(name); err != nil {
		return BasinInfo{}, "", refused("ensure basin", err)
	}
	return ensure[BasinInfo](ctx, a.client, s2.Request{Op: "ensure basin " + name, Path: []string{"basins", name}, Body: b})
}

// DeleteBasin begins to delete a basin with all its streams. Deleting a basin in deletion is no error.
func (a *Admin) DeleteBasin(ctx context.Context, name string) error {
	if err := names.CheckBasin(name); err != nil {
		return refused("delete basin", err)
	}
	_, err := a.client.Call(ctx, s2.Request{Op: "delete basin " + name, Method: http.MethodDelete, Path: []string{"basins", name}}, nil)
	return err
}
