package main

import (
	"context"
	"net/url"

	"github.com/headrace/headrace/backend/memory"
)

// openMemory makes a new stream in the memory of this process. The stream ends with the command. bench uses memory to
// measure the library without a store.
func openMemory(_ context.Context, _ *url.URL, t *target) error {
	s := memory.New()
	t.sink, t.source = s, s
	return nil
}
