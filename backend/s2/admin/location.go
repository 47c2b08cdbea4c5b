package admin

import (
	"context"
	"net/http"

	"github.com/headrace/headrace/backend/s2"
)

// A Location is a place where basins can be.
type Location struct {
	Name    string `json:"name"`
	Private bool   `json:"is_private"`
}

// Locations returns the locations for basins of the account.
func (a *Admin) Locations(ctx context.Context) ([]Location, error) {
	return call[[]Location](ctx, a.client, s2.Request{Op: "list locations", Method: http.MethodGet, Path: []string{"locations"}})
}

// DefaultLocation returns the location of new basins without a given location.
func (a *Admin) DefaultLocation(ctx context.Context) (Location, error) {
	return call[Location](ctx, a.client, s2.Request{Op: "default location", Method: http.MethodGet, Path: []string{"locations", "default"}})
}

// SetDefaultLocation changes the location of new basins without a given location.
func (a *Admin) SetDefaultLocation(ctx context.Context, name string) (Location, error) {
	return call[Location](ctx, a.client, s2.Request{Op: "set default location", Method: http.MethodPut, Path: []string{"locations", "default"}, Body: name})
}
