package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/headrace/headrace/backend/s2"
)

// An Admin manages what one access token may manage. Its methods may be called from any goroutine. It holds nothing that
// must be closed.
type Admin struct {
	client *s2.Client
}

// New makes an Admin that calls S2 through client.
func New(client *s2.Client) *Admin { return &Admin{client: client} }

// call makes a call whose answer is a T.
func call[T any](ctx context.Context, c *s2.Client, r s2.Request) (out T, err error) {
	_, err = c.Call(ctx, r, &out)
	return out, err
}

// refused names the operation in the error about a name that S2 does not take.
func refused(op string, err error) error { return fmt.Errorf("s2: %s: %w", op, err) }

// requestToken makes a POST idempotent over its attempts.
func requestToken() http.Header { return http.Header{"S2-Request-Token": {rand.Text()}} }
