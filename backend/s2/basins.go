package s2

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// BasinInfo is a basin as listed.
type BasinInfo struct {
	Name      string     `json:"name"`
	Location  string     `json:"location"` // older servers say Scope
	Scope     string     `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"` // set while it is in deletion
	State     string     `json:"state"`      // older servers: "active", "deleting"
}

// Deleting reports whether the basin is in deletion.
func (b BasinInfo) Deleting() bool { return b.DeletedAt != nil || b.State == "deleting" }

// A NewBasin says how to create a basin.
type NewBasin struct {
	Config   *BasinConfig `json:"config,omitempty"`
	Location string       `json:"location,omitempty"` // "" is the account's default
}

// A Provision says what an Ensure call did.
type Provision string

// What an Ensure call can have done.
const (
	Created   Provision = "created"
	Updated   Provision = "updated"
	Unchanged Provision = "noop"
)

// provision reads the header that says what was done. Without one, the status tells creation from the rest.
func provision(a answer) Provision {
	if p := Provision(a.header.Get("S2-Provision-Result")); p != "" {
		return p
	}
	if a.status == http.StatusCreated {
		return Created
	}
	return ""
}

// Basins iterates over the account's basins, by name. Pages are fetched as they are needed; an error is the last thing
// yielded.
func (c *Client) Basins(ctx context.Context, l List) iter.Seq2[BasinInfo, error] {
	return c.basins().all(ctx, c, l)
}

// BasinsPage returns one page of [Client.Basins].
func (c *Client) BasinsPage(ctx context.Context, l List) (Page[BasinInfo], error) {
	return c.basins().shown(ctx, c, l)
}

func (c *Client) basins() listing[BasinInfo] {
	return listing[BasinInfo]{
		call:  call{op: "list basins", url: c.account.at("", "basins")},
		field: "basins",
		name:  func(b BasinInfo) string { return b.Name },
		gone:  BasinInfo.Deleting,
	}
}

// CreateBasin creates a basin. Its attempts carry one request token, so that a repeated one does not fail for the first.
// A name that is taken is [backend.ErrConflict].
func (c *Client) CreateBasin(ctx context.Context, name string, b NewBasin) (BasinInfo, error) {
	op := "create basin " + name
	if err := checkBasin(name); err != nil {
		return BasinInfo{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	body, err := encode(op, struct {
		Basin string `json:"basin"`
		NewBasin
	}{name, b})
	if err != nil {
		return BasinInfo{}, err
	}
	info, _, err := fetch[BasinInfo](ctx, c, &call{op: op, method: http.MethodPost, url: c.account.at("", "basins"), header: requestToken(), body: body})
	return info, err
}

// EnsureBasin creates a basin, or makes one that exists like this, and says which it was.
func (c *Client) EnsureBasin(ctx context.Context, name string, b NewBasin) (BasinInfo, Provision, error) {
	return put[BasinInfo](ctx, c, &call{op: "ensure basin " + name, url: c.account.at("", "basins", name)}, checkBasin(name), b)
}

// put does an idempotent PUT.
func put[T any](ctx context.Context, c *Client, r *call, refusal error, v any) (out T, p Provision, err error) {
	if refusal != nil {
		return out, "", fmt.Errorf("s2: %s: %w", r.op, refusal)
	}
	r.method = http.MethodPut
	if r.body, err = encode(r.op, v); err != nil {
		return out, "", err
	}
	out, a, err := fetch[T](ctx, c, r)
	if err != nil {
		return out, "", err
	}
	return out, provision(a), nil
}

// BasinConfig returns a basin's configuration.
func (c *Client) BasinConfig(ctx context.Context, name string) (BasinConfig, error) {
	if err := checkBasin(name); err != nil {
		return BasinConfig{}, fmt.Errorf("s2: basin config: %w", err)
	}
	cfg, _, err := fetch[BasinConfig](ctx, c, &call{op: "config of basin " + name, method: http.MethodGet, url: c.account.at("", "basins", name)})
	return cfg, err
}

// ReconfigureBasin changes a basin's configuration and returns it as it is then.
func (c *Client) ReconfigureBasin(ctx context.Context, name string, change BasinChange) (BasinConfig, error) {
	op := "reconfigure basin " + name
	if err := checkBasin(name); err != nil {
		return BasinConfig{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	body, err := encode(op, change)
	if err != nil {
		return BasinConfig{}, err
	}
	cfg, _, err := fetch[BasinConfig](ctx, c, &call{op: op, method: http.MethodPatch, url: c.account.at("", "basins", name), body: body})
	return cfg, err
}

// DeleteBasin begins to delete a basin with all its streams. Doing so again while that lasts is no error.
func (c *Client) DeleteBasin(ctx context.Context, name string) error {
	if err := checkBasin(name); err != nil {
		return fmt.Errorf("s2: delete basin: %w", err)
	}
	_, err := c.do(ctx, &call{op: "delete basin " + name, method: http.MethodDelete, url: c.account.at("", "basins", name)})
	return err
}

// requestToken makes a create call idempotent for as long as it is tried.
func requestToken() http.Header { return http.Header{"S2-Request-Token": {rand.Text()}} }

func checkBasin(name string) error {
	ok := len(name) >= 8 && len(name) <= 48 && name[0] != '-' && name[len(name)-1] != '-'
	for i := range len(name) {
		b := name[i]
		ok = ok && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-')
	}
	if !ok {
		return fmt.Errorf("basin name %q: want 8 to 48 of a-z, 0-9 and inner hyphens: %w", httpwire.Clip(name), backend.ErrRejected)
	}
	return nil
}
