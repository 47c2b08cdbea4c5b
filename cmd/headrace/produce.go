package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/producer"
)

// A produceCmd writes standard input to a stream. The longest line is a flag, because a file without line breaks would
// otherwise be read into memory as a whole.
type produceCmd struct {
	URL         string            `arg:"" help:"The stream."`
	ContentType string            `help:"Content type of the records; application/json checks each line. Default: application/json for Zerobus, otherwise application/octet-stream."`
	JSON        bool              `help:"The same as --content-type application/json." short:"j"`
	Header      map[string]string `help:"A header for every record, as NAME=VALUE. May be repeated." short:"H"`
	Rate        float64           `help:"Records a second. 0: as fast as the stream takes them." default:"0"`
	MaxLine     int               `help:"The longest line, in bytes." default:"1048576"`
}

// Run writes line after line and returns when all are durable. The last line on the standard error says how many
// records are durable, also after a failure: the user can go on behind them.
func (c *produceCmd) Run(ctx context.Context, std streams) error {
	if c.MaxLine < 1 {
		return fmt.Errorf("%w: --max-line must be at least 1", errUsage)
	}
	if c.JSON {
		c.ContentType = "application/json"
	}
	return with(ctx, c.URL, func(t *target) (err error) {
		if err := t.writable(ctx); err != nil {
			return err
		}
		p, err := producer.New(ctx, t.sink, bytesCodec(cmp.Or(c.ContentType, t.contentType)))
		if err != nil {
			return err
		}
		// Close sends what was accepted, also after a signal.
		defer func() {
			err = errors.Join(err, p.Close())
			s := p.Stats()
			fmt.Fprintf(std.err, "headrace: %s: %d records durable, %d failed\n", t.name, s.Acked, s.Failed)
		}()
		return c.write(ctx, std.in, p)
	})
}

func (c *produceCmd) write(ctx context.Context, in io.Reader, p *producer.Producer[[]byte]) error {
	var headers backend.Headers
	for name, value := range c.Header {
		headers = append(headers, backend.Header{Name: name, Value: []byte(value)})
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The loop below may wait a long time for a line. If the producer stops meanwhile, the wait ends, and the user
	// hears of the failure at once.
	go func() {
		select {
		case <-p.Done():
			stop(p.Err())
		case <-ctx.Done():
		}
	}()
	lines := bufio.NewScanner(newInput(ctx, in))
	// The buffer grows to the longest line that comes, and no further than --max-line and the line break. A larger buffer at
	// the beginning would let longer lines pass.
	lines.Buffer(make([]byte, 0, min(64<<10, c.MaxLine+1)), c.MaxLine+1)
	begun := time.Now()
	n := 0
	for ; lines.Scan(); n++ {
		if ctx.Err() != nil {
			break // the signal may have cut the last line, and half a line must not become a record
		}
		// The time of each record is counted from the beginning. A sleep between two records would add up its own
		// delays, and the rate would be too low.
		if c.Rate > 0 && !sleepUntil(ctx, begun.Add(time.Duration(float64(n)/c.Rate*float64(time.Second)))) {
			return context.Cause(ctx)
		}
		// Enqueue and not Send: the producer makes batches of the lines, and Close waits for the last of them. The
		// producer copies the line, whose memory the scanner uses again.
		_, err := p.EnqueueRecord(ctx, producer.Record[[]byte]{Value: lines.Bytes(), Headers: headers})
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// A line longer than --max-line ends the command here. The lines before it are stored, and the error names its
	// number.
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d is longer than %d bytes: --max-line sets the limit", n+1, c.MaxLine)
	case err != nil:
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// sleepUntil waits until t and returns false when ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	if d := time.Until(t); d > 0 {
		return backoff.Sleep(ctx, d)
	}
	return ctx.Err() == nil
}
