package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// A tailCmd prints the records of a stream.
type tailCmd struct {
	URL    string `arg:"" help:"The stream."`
	From   string `help:"Where to begin: start, now, -N (the last N records), an offset, a time (RFC 3339) or a duration (1h: an hour ago). Default: the last 10 records, or the start where the store cannot count." short:"f"`
	Until  string `help:"Where to end: now (what is there at the beginning), a time, or a number of records as +N. Without it, tail follows the stream." short:"u"`
	Output string `help:"raw: the values, one a line. json: one object a line. pretty: with offset, time and headers." enum:"raw,json,pretty" default:"pretty" short:"o"`
	Color  string `help:"Colours: auto, always or never." enum:"auto,always,never" default:"auto"`
}

// Run prints records until the end of --until, or until a signal. The clock is read once, so --from 1h and --until 1h
// mean the same moment. A wrong flag is refused before a store is opened.
func (c *tailCmd) Run(ctx context.Context, std streams) (err error) {
	now := time.Now()
	from := backend.Last(10)
	if c.From != "" {
		if from, err = parseOffset(c.From, now); err != nil {
			return err
		}
	}
	end, err := parseEnd(c.Until, now)
	if err != nil {
		return err
	}
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.readable(ctx); err != nil {
			return err
		}
		if c.From == "" {
			if from, err = orStart(ctx, t.source, from); err != nil {
				return err
			}
		}
		opts := []consumer.Option{consumer.StartAt(from)}
		if end.atTail {
			opts = append(opts, consumer.StopAtTail())
		}
		// A consumer reconnects by itself, and a reader of the backend does not. A tail may follow a stream for
		// days.
		reader, err := consumer.New(t.source, codec.Bytes(), opts...)
		if err != nil {
			return err
		}
		out := newPrinter(std.out, c.Output, c.Color == "always" || c.Color == "auto" && isTerminal(std.out))
		// The records in front of an error are printed too.
		return errors.Join(printAll(ctx, reader, end, out), out.flush())
	})
}

// orStart returns from, or the start if the store cannot find from. Durable Streams has no records to count back from
// the tail. Only the default is replaced: a user who writes -10 must hear about the store.
func orStart(ctx context.Context, src backend.Source, from backend.Offset) (backend.Offset, error) {
	r, err := src.OpenReader(ctx, from)
	switch {
	case errors.Is(err, backend.ErrUnsupported):
		return backend.Earliest, nil
	case err != nil:
		return "", err
	}
	return from, r.Close()
}

// An end is where tail ends. With the zero value tail follows the stream. A time that has passed already also ends at
// the tail: later records have later times, and tail would wait for one of them on a quiet stream.
type end struct {
	atTail  bool
	time    time.Time
	records int
}

// parseEnd reads --until. A time is compared with the times of the records, in printAll.
func parseEnd(s string, now time.Time) (e end, err error) {
	switch {
	case s == "":
		return end{}, nil
	case s == "now":
		return end{atTail: true}, nil
	case s[0] == '+':
		if e.records, err = strconv.Atoi(s[1:]); err != nil || e.records < 1 {
			return end{}, fmt.Errorf("%w: --until %s: want +N with N of at least 1", errUsage, s)
		}
		return e, nil
	}
	t, ok := parseTime(s, now)
	if !ok {
		return end{}, fmt.Errorf("%w: --until %s: want now, +N, a time (RFC 3339) or a duration", errUsage, s)
	}
	return end{time: t, atTail: !t.After(now)}, nil
}

// printAll prints until the end, or until an error. The consumer has no checkpoint, so leaving the loop early loses
// nothing.
func printAll(ctx context.Context, c *consumer.Consumer[[]byte], e end, out *printer) error {
	n := 0
	for batch, err := range c.Batches(ctx) {
		if err != nil {
			return err
		}
		for i := range batch {
			r := &batch[i].Record
			// The end is exclusive, so --until 12:00 and --from 12:00 share no record. A store without times gives the
			// zero time, and tail then ends at the tail or not at all.
			if !e.time.IsZero() && !r.Time.Before(e.time) {
				return nil
			}
			if err := out.print(r); err != nil {
				return err
			}
			// Without --until, records is 0, and n never equals 0 here.
			if n++; n == e.records {
				return nil
			}
		}
		// Whoever follows a stream sees a record at once, and a long stream is not written record by record.
		if err := out.flush(); err != nil {
			return err
		}
	}
	return nil
}

// isTerminal reports whether colours and a bar make sense. NO_COLOR is the usual variable of people who want neither.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == ""
}

// A printer writes records in one of the formats of tail. It buffers, because a system call for each record would make
// a long stream slow; printAll flushes behind each batch.
type printer struct {
	w      *bufio.Writer
	format string
	dim    string // the escape sequence before offset, time and headers; "" without colours
	plain  string
}

func newPrinter(w io.Writer, format string, color bool) *printer {
	p := &printer{w: bufio.NewWriter(w), format: format}
	if color {
		p.dim, p.plain = "\x1b[2m", "\x1b[0m"
	}
	return p
}

func (p *printer) flush() error { return p.w.Flush() }

// print writes one record. Errors are left to the last call, because a bufio.Writer remembers its first error and
// writes nothing behind it.
func (p *printer) print(r *backend.Record) error {
	switch p.format {
	case "json":
		text, err := json.Marshal(lineOf(r))
		if err != nil {
			return err
		}
		p.w.Write(text)
	// A value with a line break takes several lines here; json is the format for programs.
	case "raw":
		p.w.Write(r.Value)
	default:
		fmt.Fprintf(p.w, "%s%s  %s", p.dim, stamp(r.Time), r.Offset)
		for _, h := range r.Headers {
			fmt.Fprintf(p.w, "  %s=%q", h.Name, h.Value)
		}
		fmt.Fprint(p.w, p.plain, "\n")
		p.w.Write(indented(r.Value))
	}
	return p.w.WriteByte('\n') // a bufio.Writer keeps its first error
}
