package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

// A checkpointCmd looks at and moves the places of consumers.
type checkpointCmd struct {
	List  checkpointListCmd  `cmd:"" help:"Print the places of all consumers, a line of JSON for each."`
	Show  checkpointShowCmd  `cmd:"" help:"Print the place of a consumer."`
	Reset checkpointResetCmd `cmd:"" help:"Move the place of a consumer, to replay or to skip. A consumer that runs is fenced."`
}

type checkpointListCmd struct {
	Store string `arg:"" help:"file:PATH, bolt:PATH[?bucket=NAME], sqlite:PATH or postgres://…"`
}

// Run prints the lines of show, sorted by key.
func (c *checkpointListCmd) Run(ctx context.Context, std streams) error {
	return withExistingStore(ctx, c.Store, func(s checkpoint.Store) error {
		// The interface is optional, and a store of another make may lack it.
		lister, ok := s.(checkpoint.Lister)
		if !ok {
			return fmt.Errorf("list the keys: %w: the store cannot say which keys it holds", backend.ErrUnsupported)
		}
		keys, err := lister.Keys(ctx)
		if err != nil {
			return err
		}
		if len(keys) == 0 { // the file or the bucket may be another one than the user had in mind
			fmt.Fprintln(std.err, "headrace: the store has no checkpoints")
		}
		// A key that disappears between the two calls is printed with an empty place.
		for _, key := range keys {
			cp, err := s.Load(ctx, key)
			if err != nil {
				return err
			}
			if err := printPlace(std, key, cp); err != nil {
				return err
			}
		}
		return nil
	})
}

// printPlace prints a place as a line of JSON. The epoch tells how often the place was claimed: it grows with every
// start of the consumer.
func printPlace(std streams, key string, cp checkpoint.Checkpoint) error {
	return json.NewEncoder(std.out).Encode(map[string]any{"key": key, "offset": cp.Offset, "epoch": cp.Epoch})
}

type checkpointShowCmd struct {
	Store string `arg:"" help:"file:PATH, bolt:PATH[?bucket=NAME], sqlite:PATH or postgres://…"`
	Key   string `arg:"" help:"The key of the consumer."`
}

// withExistingStore is withStore for a command that does not make the store. A mistyped path would otherwise make an
// empty store, and list would print nothing as if no consumer had ever run.
func withExistingStore(ctx context.Context, address string, f func(checkpoint.Store) error) error {
	if u, err := url.Parse(address); err == nil {
		if err := existingFile(u); err != nil {
			return err
		}
	}
	return withStore(ctx, address, f)
}

// withStore opens a store, calls f, and closes the store. An error of the close is an error of the command: a place
// that was not written is a replay later.
func withStore(ctx context.Context, address string, f func(checkpoint.Store) error) (err error) {
	store, closeStore, err := openStore(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	return f(store)
}

// Run prints the place as JSON.
func (c *checkpointShowCmd) Run(ctx context.Context, std streams) error {
	return withExistingStore(ctx, c.Store, func(s checkpoint.Store) error {
		cp, err := s.Load(ctx, c.Key)
		if err != nil {
			return err
		}
		if cp == (checkpoint.Checkpoint{}) {
			return fmt.Errorf("%s: no checkpoint: %w", c.Key, backend.ErrNotFound)
		}
		return printPlace(std, c.Key, cp)
	})
}

type checkpointResetCmd struct {
	Store  string `arg:"" help:"file:PATH, bolt:PATH[?bucket=NAME], sqlite:PATH or postgres://…"`
	Key    string `arg:"" help:"The key of the consumer."`
	Offset string `arg:"" help:"The new place: start, now, an offset as tail prints it, a time (RFC 3339) or a duration (1h: an hour ago)."`
}

// Run moves the place. A consumer that still runs cannot save over the new place. The reset claims the place under a
// new epoch, so the next save of the running consumer fails with ErrFenced instead of undoing the reset. The store is
// made if it is missing: a place may be set before the consumer has ever run.
func (c *checkpointResetCmd) Run(ctx context.Context, std streams) error {
	// Read before the store is opened: a wrong word must not fence the consumer.
	offset, err := parseOffset(c.Offset, time.Now())
	if err != nil {
		return err
	}
	return withStore(ctx, c.Store, func(s checkpoint.Store) error {
		// Printed below, so that a mistake can be undone with the same command.
		before, err := s.Load(ctx, c.Key)
		if err != nil {
			return err
		}
		if err := consumer.Reset(ctx, s, c.Key, offset); err != nil {
			return err
		}
		if before == (checkpoint.Checkpoint{}) { // a mistyped key would move no consumer, and nobody would notice
			fmt.Fprintf(std.err, "headrace: there was no checkpoint %s: the key is new\n", c.Key)
		}
		fmt.Fprintf(std.out, "%s: moved from %q to %q\n", c.Key, before.Offset, offset)
		return nil
	})
}
