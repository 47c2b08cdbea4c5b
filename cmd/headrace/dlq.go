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

// A dlqCmd looks at dead letters and sends them again. A dead letter holds the whole record with its headers and its
// place, so a redrive needs no look at the stream from which it came.
type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"Print a line for each dead letter."`
	Show    dlqShowCmd    `cmd:"" help:"Print one dead letter with its value."`
	Redrive dlqRedriveCmd `cmd:"" help:"Send dead letters to a stream again. What was sent once is not sent by the next redrive."`
}

type dlqListCmd struct {
	URL string `arg:"" help:"The stream of dead letters."`
}

// letterCodec reads dead letters. Any object of JSON would decode, because unknown members are ignored, and a redrive of
// a stream with other records would send empty values.
var letterCodec = codec.Validate(codec.JSON[consumer.DeadLetter](), func(l consumer.DeadLetter) error {
	if l.Offset == "" {
		return errors.New("this record is no dead letter: it does not name the place of a record")
	}
	return nil
})

// letters reads the dead letters of a stream. The reading ends at the tail as of the opening: letters that come
// meanwhile are for the next call, and list never waits for a letter. Dead letters are JSON in every store, so one
// codec reads them all.
func letters(ctx context.Context, t *target, opts ...consumer.Option) (*consumer.Consumer[consumer.DeadLetter], error) {
	if err := t.readable(ctx); err != nil {
		return nil, err
	}
	return consumer.New(t.source, letterCodec, append(opts, consumer.StopAtTail())...)
}

// Run prints a table. The first column is the offset of the letter in its own stream, for dlq show. The fourth is the
// place of the record in the stream where it failed.
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
				// The lines so far are printed in front of the error, because the user has asked for them.
				return errors.Join(w.Flush(), err)
			}
			l := m.Value
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", m.Offset, stamp(l.Time), l.Consumer, l.Offset, l.Attempts, len(l.Value), firstLine(l.Cause))
		}
		return w.Flush()
	})
}

// firstLine returns the first line of a text, at most 100 bytes: a cause may hold the stack of a panic. One line a
// letter keeps the table readable; dlq show prints the whole cause.
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

// Run prints the content of the letter. The loop takes one letter and leaves: a consumer without a checkpoint has
// nothing to save.
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
	URL string `arg:"" help:"The stream of dead letters."`
	To  string `arg:"" help:"The stream to send the records to."`
	// Required, although copy has a default: without a place that the user knows, a second redrive would send every
	// record again.
	Checkpoint  string `help:"Where the redrive keeps its place: file:PATH, bolt:PATH, sqlite:PATH or postgres://…." required:"" placeholder:"STORE"`
	ContentType string `help:"Content type of the records." default:"application/json"`
	Consumer    string `help:"Only the letters of this consumer. This redrive keeps a place of its own."`
}

// Run sends each letter's record, and moves the place when the record is durable. A redrive that is interrupted goes on
// where it stopped. A record that fails again becomes a new letter behind the place, and the next redrive takes it.
func (c *dlqRedriveCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(from *target) error {
		return with(ctx, c.To, func(to *target) error {
			if err := different(from, to); err != nil {
				return err
			}
			return withStore(ctx, c.Checkpoint, func(s checkpoint.Store) error { return c.redrive(ctx, std, from, to, s) })
		})
	})
}

func (c *dlqRedriveCmd) redrive(ctx context.Context, std streams, from, to *target, places checkpoint.Store) (err error) {
	if err := to.writable(ctx); err != nil {
		return err
	}
	// The key holds both streams, so one store of checkpoints serves redrives to several targets.
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
			// Skip is a receipt that is done at once: the place passes the letter, and nothing is sent.
			return producer.Skip, nil
		}
		// The record goes as it was: its value was never decoded here, and its time is the time of its first append.
		return p.EnqueueRecord(ctx, producer.Record[[]byte]{Value: l.Value, Headers: l.Headers, Time: l.Time})
	})
}
