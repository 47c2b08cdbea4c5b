package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/headrace/headrace/backend/zerobus"
)

// openZerobus opens zerobus://catalog.schema.table. The endpoint and the service principal come from the environment.
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
