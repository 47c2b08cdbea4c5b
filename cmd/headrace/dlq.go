package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A dlqCmd looks at dead letters and sends them again.
type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"Print a line for each dead letter."`
	Show    dlqShowCmd    `cmd:"" help:"Print one dead letter with its value."`
	Redrive dlqRedriveCmd `cmd:"" help:"Send dead letters to a stream again. What was sent once is not sent by the next redrive."`
}

type dlqListCmd struct {
	URL string `arg:"" help:"The stream of dead letters."`
}

// letters reads the dead letters of a stream.
func letters(ctx context.Context, t *target, opts ...consumer.Option) (*consumer.Consumer[consumer.DeadLetter], error) {
	if err := t.readable(ctx); err != nil {
		return nil, err
	}
	return consumer.New(t.source, codec.JSON[consumer.DeadLetter](), append(opts, consumer.StopAtTail())...)
}

// Run prints a table.
func (c *dlqListCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		reader, err := letters(ctx, t)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LETTER\tTIME\tCONSUMER\tOFFSET\tATTEMPTS\tBYTES\tCAUSE")
		for m, err := range reader.Messages(ctx) {
			if err != nil {
				return errors.Join(w.Flush(), err)
			}
			l := m.Value
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", m.Offset, stamp(l.Time), l.Consumer, l.Offset, l.Attempts, len(l.Value), firstLine(l.Cause))
		}
		return w.Flush()
	})
}

// firstLine returns the first line of a text, at most 100 bytes: a cause may hold the stack of a panic.
func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' || i >= 100 {
			return s[:i] + "…"
		}
	}
	return s
}

type dlqShowCmd struct {
	URL    string `arg:"" help:"The stream of dead letters."`
	Letter string `arg:"" help:"The letter, by the first column of dlq list."`
}

// Run prints the content of the letter.
func (c *dlqShowCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		reader, err := letters(ctx, t, consumer.StartAt(backend.Offset(c.Letter)))
		if err != nil {
			return err
		}
		for m, err := range reader.Messages(ctx) {
			if err != nil {
				return err
			}
			l := m.Value
			fmt.Fprintf(std.out, "letter:   %s\ntime:     %s\nconsumer: %s\noffset:   %s\nattempts: %d\ncause:    %s\n",
				m.Offset, stamp(l.Time), l.Consumer, l.Offset, l.Attempts, l.Cause)
			for _, h := range l.Headers {
				fmt.Fprintf(std.out, "header:   %s=%q\n", h.Name, h.Value)
			}
			fmt.Fprintf(std.out, "\n%s\n", indented(l.Value))
			return nil
		}
		return fmt.Errorf("there is no letter at %s: %w", c.Letter, backend.ErrNotFound)
	})
}

type dlqRedriveCmd struct {
	URL         string `arg:"" help:"The stream of dead letters."`
	To          string `arg:"" help:"The stream to send the records to."`
	Checkpoint  string `help:"Where the redrive keeps its place: file:PATH, bolt:PATH, sqlite:PATH or postgres://…." required:"" placeholder:"STORE"`
	ContentType string `help:"Content type of the records." default:"application/json"`
	Consumer    string `help:"Only the letters of this consumer. This redrive keeps a place of its own."`
}

// Run sends each letter's record, and moves the place when the record is durable.
func (c *dlqRedriveCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(from *target) error {
		return with(ctx, c.To, func(to *target) error {
			return withStore(ctx, c.Checkpoint, func(s checkpoint.Store) error { return c.redrive(ctx, std, from, to, s) })
		})
	})
}

func (c *dlqRedriveCmd) redrive(ctx context.Context, std streams, from, to *target, places checkpoint.Store) (err error) {
	if err := to.writable(ctx); err != nil {
		return err
	}
	key := "redrive " + from.name + " to " + to.name
	if c.Consumer != "" {
		key += " of " + c.Consumer // a common place would pass the letters of other consumers, and nobody would send them
	}
	reader, err := letters(ctx, from, consumer.Checkpoint(places, key))
	if err != nil {
		return err
	}
	p, err := producer.New(ctx, to.sink, bytesCodec(c.ContentType))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.Close())
		fmt.Fprintf(std.err, "headrace: %d records sent again\n", p.Stats().Acked)
	}()
	return reader.Pipe(ctx, func(ctx context.Context, m consumer.Message[consumer.DeadLetter]) (producer.Receipt, error) {
		l := m.Value
		if c.Consumer != "" && l.Consumer != c.Consumer {
			return producer.Skip, nil
		}
		return p.EnqueueRecord(ctx, producer.Record[[]byte]{Value: l.Value, Headers: l.Headers, Time: l.Time})
	})
}
