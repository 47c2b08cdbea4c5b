package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/headrace/headrace/backend/zerobus"
)

// openZerobus opens zerobus://catalog.schema.table. The endpoint and the service principal come from the environment.
// Zerobus can only be written: source stays nil, and commands that read say so. Rows are JSON unless the user asks for
// something else, because the service refuses bytes of an unknown kind.
func openZerobus(_ context.Context, u *url.URL, t *target) error {
	if u.Host == "" {
		return fmt.Errorf("%w: write zerobus://CATALOG.SCHEMA.TABLE", errUsage)
	}
	cfg, err := zerobus.Environment()
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	client, err := zerobus.New(cfg)
	if err != nil {
		return err
	}
	t.sink, t.contentType, t.close = client.Table(u.Host), "application/json", client.Close
	return nil
}
