package admin

import (
	"context"
	"net/http"

	"github.com/headrace/headrace/backend/s2"
)

// A Provision says what an Ensure call did.
type Provision string

// What an Ensure call can have done.
const (
	Created   Provision = "created"
	Updated   Provision = "updated"
	Unchanged Provision = "noop"
)

// ensure makes an idempotent PUT, and reads the effect of the PUT from a header. Older servers do not send the header: then the
// status tells a creation, and any other effect is "".
func ensure[T any](ctx context.Context, c *s2.Client, r s2.Request) (out T, p Provision, err error) {
	r.Method = http.MethodPut
	reply, err := c.Call(ctx, r, &out)
	if err != nil {
		return out, "", err
	}
	p = Provision(reply.Header.Get("S2-Provision-Result"))
	if p == "" && reply.Status == http.StatusCreated {
		p = Created
	}
	return out, p, nil
}
