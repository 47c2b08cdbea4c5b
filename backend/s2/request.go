package s2

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// A Request is a call of S2's management API, for [Client.Call]. Package admin makes the requests of the whole API.
type Request struct {
	Op     string   // what the call does and to what, for errors and logs: "create stream orders"
	Method string   // of HTTP
	Basin  string   // the basin whose endpoint takes the call; "" is the endpoint of the account
	Path   []string // segments behind the path of the endpoint, not escaped
	Query  url.Values
	Header http.Header
	Body   any  // sent as JSON; nil is no body
	Once   bool // not idempotent: tried again only if the attempt before certainly had no effect
}

// A Reply is what a server answers beside the body.
type Reply struct {
	Status int
	Header http.Header
}

// Call makes a call with the credentials of the client, with as many attempts as [Attempts] allows, and decodes the JSON of the
// answer into reply. reply may be nil. Call is for operations missing in package admin, for example new operations of S2. All
// attempts send the same headers. If an earlier attempt may have deleted the object, a DELETE that finds nothing succeeds.
func (c *Client) Call(ctx context.Context, r Request, reply any) (Reply, error) {
	at := c.account
	if r.Basin != "" {
		at = c.basin
	}
	out := call{op: r.Op, method: r.Method, url: at.at(r.Basin, r.Path...), query: r.Query, basin: r.Basin, header: r.Header, once: r.Once, bare: reply == nil}
	if r.Body != nil {
		var err error
		if out.body, err = json.Marshal(r.Body); err != nil {
			return Reply{}, fmt.Errorf("s2: %s: %w", r.Op, err)
		}
	}
	a, err := c.do(ctx, &out)
	if err != nil {
		return Reply{}, err
	}
	if reply != nil {
		if err := json.Unmarshal(a.body, reply); err != nil {
			return Reply{}, fmt.Errorf("s2: %s: %w", r.Op, protocolErrorf("%w", err))
		}
	}
	return Reply{a.status, a.header}, nil
}
