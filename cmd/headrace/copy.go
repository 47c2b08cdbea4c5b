package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A copyCmd copies a stream.
type copyCmd struct {
	From        string `arg:"" help:"The stream to read."`
	To          string `arg:"" help:"The stream to write."`
	Start       string `help:"Where to begin when there is no checkpoint: as --from of tail." default:"start"`
	Follow      bool   `help:"Go on at the tail and copy what comes."`
	ContentType string `help:"Content type of the copy; application/json checks each record." default:"application/octet-stream"`
	JSON        bool   `help:"The same as --content-type application/json." short:"j"`
	Checkpoint  string `help:"Where the copy keeps its place: file:PATH, bolt:PATH, sqlite:PATH or postgres://…. Default: a file in the user's configuration directory." placeholder:"STORE"`
	Key         string `help:"The key of the place. Default: both URLs."`
	DropHeaders bool   `help:"Leave headers out, for a target that keeps none."`
}

// Run copies until the tail, or with --follow until a signal. A record counts as copied when the target has acknowledged it.
func (c *copyCmd) Run(ctx context.Context, std streams) (err error) {
	if c.JSON {
		c.ContentType = "application/json"
	}
	from, err := openTarget(ctx, c.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	to, err := openTarget(ctx, c.To)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	if err := errors.Join(from.readable(), to.writable()); err != nil {
		return err
	}
	reader, closeStore, err := c.reader(ctx, from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	p, err := producer.New(ctx, to.sink, bytesCodec(c.ContentType))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()

	bar := startProgress(ctx, std.err, reader)
	defer func() { bar.end(err) }()
	return reader.Pipe(ctx, func(ctx context.Context, m consumer.Message[[]byte]) (producer.Receipt, error) {
		r := producer.Record[[]byte]{Value: m.Value, Headers: m.Headers, Time: m.Time}
		if c.DropHeaders {
			r.Headers = nil
		}
		bar.add(len(m.Value))
		return p.EnqueueRecord(ctx, r)
	})
}

// reader returns the consumer that reads the source, with its place in a store of checkpoints.
func (c *copyCmd) reader(ctx context.Context, from, to *target) (*consumer.Consumer[[]byte], func() error, error) {
	start, err := parseOffset(c.Start, time.Now())
	if err != nil {
		return nil, nil, err
	}
	address, key := c.Checkpoint, c.Key
	if address == "" {
		if address, err = defaultPlaces(); err != nil {
			return nil, nil, err
		}
	}
	if key == "" {
		key = "copy " + from.name + " to " + to.name
	}
	store, closeStore, err := openStore(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	opts := []consumer.Option{consumer.StartAt(start), consumer.Checkpoint(store, key)}
	if !c.Follow {
		opts = append(opts, consumer.StopAtTail())
	}
	reader, err := consumer.New(from.source, bytesCodec(""), opts...)
	if err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	return reader, closeStore, nil
}

// defaultPlaces returns the file that keeps the places of copies for which none was named.
func defaultPlaces() (string, error) {
	dir, err := os.UserConfigDir()
	if err == nil {
		dir = filepath.Join(dir, "headrace")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("no place for the checkpoint of the copy, name one with --checkpoint: %w", err)
	}
	return "file:" + filepath.Join(dir, "copies"), nil
}
