package s2

import (
	"context"
	"net/http"
)

// A Location is where basins can be.
type Location struct {
	Name    string `json:"name"`
	Private bool   `json:"is_private"`
}

// Locations returns where the account's basins can be.
func (c *Client) Locations(ctx context.Context) ([]Location, error) {
	l, _, err := fetch[[]Location](ctx, c, &call{op: "list locations", method: http.MethodGet, url: c.account.at("", "locations")})
	return l, err
}

// DefaultLocation returns where basins are created that name no location.
func (c *Client) DefaultLocation(ctx context.Context) (Location, error) {
	l, _, err := fetch[Location](ctx, c, &call{op: "default location", method: http.MethodGet, url: c.account.at("", "locations", "default")})
	return l, err
}

// SetDefaultLocation changes where basins are created that name no location.
func (c *Client) SetDefaultLocation(ctx context.Context, name string) (Location, error) {
	body, err := encode("set default location", name)
	if err != nil {
		return Location{}, err
	}
	l, _, err := fetch[Location](ctx, c, &call{op: "set default location", method: http.MethodPut, url: c.account.at("", "locations", "default"), body: body})
	return l, err
}
