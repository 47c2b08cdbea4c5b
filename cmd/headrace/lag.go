package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/relay"
)

// A lagCmd prints how far a consumer is behind. With --json, an unknown number of records or bytes is -1.
type lagCmd struct {
	URL   string `arg:"" help:"The stream."`
	Store string `arg:"" help:"Where the consumer keeps its place: file:PATH, bolt:PATH[?bucket=NAME], sqlite:PATH or postgres://…"`
	Key   string `arg:"" help:"The key of the consumer."`
	JSON  bool   `help:"Print JSON."`
}

// Run prints the lag at the oldest unfinished record. The place is read from the store of checkpoints and not from the
// consumer: a consumer need not run for the command.
func (c *lagCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.readable(ctx); err != nil {
			return err
		}
		return withExistingStore(ctx, c.Store, func(s checkpoint.Store) error {
			cp, err := s.Load(ctx, c.Key)
			if err != nil {
				return err
			}
			if cp == (checkpoint.Checkpoint{}) { // without these words, a mistyped key looks like a consumer that does nothing
				fmt.Fprintf(std.err, "headrace: there is no checkpoint %s: the whole stream counts as behind\n", c.Key)
			}
			lag, err := backend.LagAt(ctx, t.source, placeOf(cp))
			if err != nil {
				return err
			}
			if c.JSON {
				return json.NewEncoder(std.out).Encode(map[string]any{
					"records": lag.Records, "bytes": lag.Bytes, "age_seconds": lag.Age.Seconds(), "caught_up": lag.CaughtUp,
				})
			}
			// Not every store can count: an unknown number is said and never guessed. -1 means unknown.
			if lag.CaughtUp {
				fmt.Fprintln(std.out, "caught up")
				return nil
			}
			records := "an unknown number of records"
			if lag.Records >= 0 {
				records = fmt.Sprintf("%d records", lag.Records)
			}
			if lag.Bytes >= 0 {
				records += ", " + size(lag.Bytes)
			}
			// The age is that of the oldest record that is not done: a small number of records may still be an old
			// problem. A lag without an age means that the store gives its records no times.
			oldest := "is " + lag.Age.Round(time.Millisecond).String() + " old"
			if lag.Age == 0 {
				oldest = "has no time"
			}
			fmt.Fprintf(std.out, "%s behind; the oldest %s\n", records, oldest)
			return nil
		})
	})
}

// placeOf returns the place in the stream of a consumer or of a copy. A copy writes more than an offset into its
// checkpoint. An empty place means that the consumer has not begun, and everything is still before it.
func placeOf(cp checkpoint.Checkpoint) backend.Offset {
	if place, ok := relay.Place(cp.Offset); ok {
		return place
	}
	if cp.Offset == "" {
		return backend.Earliest
	}
	return cp.Offset
}
