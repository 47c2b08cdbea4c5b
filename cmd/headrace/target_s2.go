package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
)

// openS2 opens s2://basin/stream. The token and other endpoints come from the environment, as in S2's own tools. A
// missing variable is a wrong usage, because nothing was tried.
func openS2(_ context.Context, u *url.URL, t *target) error {
	name := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || name == "" {
		return fmt.Errorf("%w: write s2://BASIN/STREAM", errUsage)
	}
	// The same variables as those of S2's own tools, so a shell that is set up for them is set up for headrace.
	cfg, err := s2.Environment()
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	client, err := s2.New(cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	// Two clients of one account: the client of the library moves records, and the one of package admin makes and
	// deletes streams.
	basin := admin.New(client).Basin(u.Host)
	s := client.Basin(u.Host).Stream(name)
	t.sink, t.source, t.close = s, s, client.Close
	t.create = func(ctx context.Context, _ string) error {
		// The content type is left out: S2 keeps bytes and knows no types.
		_, err := basin.CreateStream(ctx, name, s2.StreamConfig{})
		// The user wants the stream to exist. An existing stream keeps its config.
		if errors.Is(err, backend.ErrConflict) {
			return nil
		}
		return err
	}
	t.createBasin = func(ctx context.Context) error {
		_, err := admin.New(client).CreateBasin(ctx, u.Host, admin.NewBasin{})
		if errors.Is(err, backend.ErrConflict) {
			return nil
		}
		return err
	}
	t.head = func(ctx context.Context) ([]fact, error) {
		// CheckTail creates a missing stream in a basin that creates streams for readers. S2 counts it as a read.
		tail, err := s.CheckTail(ctx)
		if err != nil {
			return nil, err
		}
		// S2 counts from 0 without holes, so the tail is the number of all records, trimmed ones included.
		return []fact{{"records appended", fmt.Sprint(tail.SeqNum)}, {"last append", stamp(time.UnixMilli(int64(tail.Timestamp)))}}, nil
	}
	// seal and trim stay nil: an S2 stream has no end, and is trimmed by its own command records and by age.
	t.remove = func(ctx context.Context) error { return basin.DeleteStream(ctx, name) }
	return nil
}
