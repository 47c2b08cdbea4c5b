package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
	"github.com/headrace/headrace/relay"
)

// A copyCmd copies a stream. A copy can always be repeated: the same command goes on where the last one has stopped,
// however it was stopped.
type copyCmd struct {
	From        string `arg:"" help:"The stream to read."`
	To          string `arg:"" help:"The stream to write."`
	Start       string `help:"Where to begin when there is no checkpoint: as --from of tail." default:"start"`
	Follow      bool   `help:"Go on at the tail and copy what comes."`
	ContentType string `help:"Content type of the copy, for a target that keeps one." default:"application/octet-stream"`
	JSON        bool   `help:"The same as --content-type application/json." short:"j"`
	Checkpoint  string `help:"Where the copy keeps its place: file:PATH, bolt:PATH, sqlite:PATH or postgres://…. Default: a file in the user's configuration directory." placeholder:"STORE"`
	Key         string `help:"The key of the place. Default: both URLs." placeholder:"KEY"`
	DropHeaders bool   `help:"Leave headers out, for a target that keeps none."`
}

// A transfer is a copy whose streams and stores are open.
type transfer struct {
	*copyCmd
	from, to *target
	start    backend.Offset
	places   checkpoint.Store
	key      string
	bar      *progress
	counted  backend.Offset // the place of the record that convert has counted last
}

// Run copies until the tail, or with --follow until a signal.
func (c *copyCmd) Run(ctx context.Context, std streams) error {
	if c.JSON {
		c.ContentType = "application/json"
	}
	start, err := parseOffset(c.Start, time.Now())
	if err != nil {
		return err
	}
	// Everything that can be wrong with the flags is found before a stream is opened.
	places := c.Checkpoint
	if places == "" {
		if places, err = defaultPlaces(); err != nil {
			return err
		}
	}
	return withExisting(ctx, c.From, func(from *target) error {
		return with(ctx, c.To, func(to *target) error {
			if err := different(from, to); err != nil {
				return err
			}
			// Both ends are tried first. The error then names the end that is wrong, and no checkpoint is made for a
			// mistyped URL.
			if err := errors.Join(from.readable(ctx), to.writable(ctx)); err != nil {
				return err
			}
			return withStore(ctx, places, func(s checkpoint.Store) error {
				t := &transfer{copyCmd: c, from: from, to: to, start: start, places: s, key: c.key(from, to)}
				return t.run(ctx, std.err)
			})
		})
	})
}

// key returns the key of the place: both URLs. With the same URLs, a later command finds the same place. A key has at
// most 256 bytes, and longer URLs are hashed.
func (c *copyCmd) key(from, to *target) string {
	key := c.Key
	if key == "" {
		key = "copy " + from.name + " to " + to.name
	}
	if len(key) > 256 {
		key = fmt.Sprintf("copy %x", sha256.Sum256([]byte(key)))
	}
	return key
}

// run copies each record exactly once if the target recognizes a resend of another process. Otherwise a copy that was
// killed sends the records behind its last checkpoint again. The promise is printed with the result, because the user
// cannot see from the records which of the two holds.
func (t *transfer) run(ctx context.Context, out io.Writer) (err error) {
	promise := "each record once"
	resumer, ok := t.to.sink.(backend.Resumer)
	if !ok {
		promise = "records since the last checkpoint come twice after a kill"
	}
	t.bar = startProgress(ctx, out, t.from.source, promise)
	defer func() { t.bar.end(err) }()
	if ok {
		return t.relay(ctx, resumer)
	}
	return t.pipe(ctx)
}

// relay copies to a target that recognizes a batch by its place in the source. The checkpoint and the batch cannot come
// apart, and a killed copy leaves nothing twice.
func (t *transfer) relay(ctx context.Context, to backend.Resumer) error {
	opts := []relay.Option{relay.StartAt(t.start), relay.Format(bytesCodec(t.ContentType).Format()), relay.Convert(t.convert)}
	if !t.Follow {
		opts = append(opts, relay.StopAtTail())
	}
	return relay.Run(ctx, checked{t.from.source, bytesCodec(t.ContentType)}, to, t.places, t.key, opts...)
}

// pipe copies with a consumer and a producer. The checkpoint follows the records that are durable at the target, so a
// killed copy loses nothing, and sends again what was durable behind the checkpoint.
func (t *transfer) pipe(ctx context.Context) (err error) {
	// The start counts only without a checkpoint: a copy that is continued must not begin again.
	opts := []consumer.Option{consumer.StartAt(t.start), consumer.Checkpoint(t.places, t.key)}
	if !t.Follow {
		opts = append(opts, consumer.StopAtTail())
	}
	reader, err := consumer.New(t.from.source, bytesCodec(""), opts...)
	if err != nil {
		return err
	}
	// The reader decodes bytes as they are, and the producer's codec checks them: a wrong record is refused where it
	// would be written.
	p, err := producer.New(ctx, t.to.sink, bytesCodec(t.ContentType))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return reader.Pipe(ctx, func(ctx context.Context, m consumer.Message[[]byte]) (producer.Receipt, error) {
		r, _ := t.convert(m.Record)
		return p.EnqueueRecord(ctx, producer.Record[[]byte]{Value: r.Value, Headers: r.Headers, Time: r.Time})
	})
}

// convert makes the record of the copy. A relay asks again for a record that did not fit into its batch. Counted twice,
// the bar would show more records than there are. The offset of the source is left out: the target gives its own.
func (t *transfer) convert(r backend.Record) (backend.Record, bool) {
	if r.Offset != t.counted {
		t.counted = r.Offset
		t.bar.add(&r)
	}
	if t.DropHeaders {
		r.Headers = nil
	}
	return backend.Record{Value: r.Value, Headers: r.Headers, Time: r.Time}, true
}

// defaultPlaces returns the file for the place of a copy, if the command names no file. The file is the user's and not
// the directory's: the same copy may be continued from another directory. Mode 0700, because the keys hold the names of
// streams and hosts.
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
