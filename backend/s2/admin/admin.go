package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/headrace/headrace/backend/s2"
)

// An Admin manages an account, within the scope of the client's access token. Any goroutine may call the methods. An Admin needs
// no Close.
type Admin struct {
	client *s2.Client
}

// New makes an Admin with the credentials and options of client.
func New(client *s2.Client) *Admin { return &Admin{client: client} }

// call makes a call with an answer of type T.
func call[T any](ctx context.Context, c *s2.Client, r s2.Request) (out T, err error) {
	_, err = c.Call(ctx, r, &out)
	return out, err
}

// refused adds the operation to the error about a wrong name.
func refused(op string, err error) error { return fmt.Errorf("s2: %s: %w", op, err) }

// requestToken makes a POST idempotent over its attempts.
func requestToken() http.Header { return http.Header{"S2-Request-Token": {rand.Text()}} }
