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
	env, err := require("ZEROBUS_ENDPOINT", "ZEROBUS_WORKSPACE_URL", "ZEROBUS_CLIENT_ID", "ZEROBUS_CLIENT_SECRET")
	if err != nil {
		return err
	}
	client, err := zerobus.New(zerobus.Config{Endpoint: env[0], UnityCatalog: env[1], ClientID: env[2], ClientSecret: env[3]})
	if err != nil {
		return err
	}
	t.sink, t.close = client.Table(u.Host), client.Close
	return nil
}
