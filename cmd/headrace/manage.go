package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/headrace/headrace/backend"
)

// with opens a stream, calls f, and closes the stream. The error of the close counts: a file that cannot be closed may
// not have everything.
func with(ctx context.Context, address string, f func(*target) error) (err error) {
	t, err := openTarget(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return f(t)
}

// withExisting is with for a command that needs the stream to exist. Opening a bolt file makes the file, so the look
// comes first.
func withExisting(ctx context.Context, address string, f func(*target) error) error {
	if err := existingStream(address); err != nil {
		return err
	}
	return with(ctx, address, func(t *target) error {
		if err := t.exists(ctx, address); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		return f(t)
	})
}

// different refuses a command that would write into the stream that it reads: the command would read its own records.
// Each mem: is a stream of its own.
func different(from, to *target) error {
	if from.name != to.name || from.name == "mem:" {
		return nil
	}
	return fmt.Errorf("%w: name two different streams, and not %s twice", errUsage, from.name)
}

// A createCmd makes a stream. Most stores make a stream at its first append. create is for all other stores, and for a
// content type other than that of the first producer.
type createCmd struct {
	URL         string `arg:"" help:"The stream."`
	ContentType string `help:"Content type of the records." default:"application/octet-stream"`
	Basin       bool   `help:"S2: make the basin too, if it is missing."`
}

// Run makes the stream; an existing stream is no error.
func (c *createCmd) Run(ctx context.Context, std streams) error {
	return with(ctx, c.URL, func(t *target) error {
		if err := t.can("created", t.create != nil); err != nil {
			return err
		}
		if c.Basin {
			// Refused for other stores: a flag that does nothing would let the user believe that something was made.
			if err := t.can("given a basin", t.createBasin != nil); err != nil {
				return err
			}
			if err := t.createBasin(ctx); err != nil {
				return err
			}
		}
		err := t.create(ctx, c.ContentType)
		// The basin is missing, and only S2 has basins. The user may not know that a flag would help.
		if errors.Is(err, backend.ErrNotFound) && t.createBasin != nil {
			return fmt.Errorf("%w (--basin makes the basin, too)", err)
		}
		return err
	})
}

// A headCmd prints facts about a stream. The facts of the stores differ, so each target tells its own.
type headCmd struct {
	URL  string `arg:"" help:"The stream."`
	JSON bool   `help:"Print JSON."`
}

// Run prints what the store says, and the first and the last record. The two records show whether the stream is alive:
// their times and sizes say more than a count.
func (c *headCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.readable(ctx); err != nil {
			return err
		}
		facts := []fact{{"stream", t.name}}
		if t.head != nil {
			more, err := t.head(ctx)
			if err != nil {
				return err
			}
			facts = append(facts, more...)
		}
		for _, place := range []struct {
			name string
			from backend.Offset
		}{{"first record", backend.Earliest}, {"last record", backend.Last(1)}} {
			r, err := oneRecord(ctx, t.source, place.from)
			switch {
			// Durable Streams cannot count back from the tail. head then leaves the line out.
			case errors.Is(err, errors.ErrUnsupported):
				continue
			case err != nil:
				return err
			case r == nil:
				facts = append(facts, fact{place.name, "-"})
				continue
			}
			facts = append(facts, fact{place.name, fmt.Sprintf("%s, %s, %d bytes", r.Offset, stamp(r.Time), len(r.Value))})
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(facts)
		}
		// Columns for people; a program uses --json, where the names stay the same.
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		for _, f := range facts {
			fmt.Fprintf(w, "%s\t%s\n", f.Name, f.Value)
		}
		return w.Flush()
	})
}

// oneRecord returns the first record at or behind a place, or nil if the tail comes first. A stream without records
// must not hold up head, so oneRecord never waits for a record.
func oneRecord(ctx context.Context, src backend.Source, from backend.Offset) (r *backend.Record, err error) {
	// head must end even if the store does not answer.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// A reader and not a consumer: a consumer would try again for ever on a stream that is not there.
	reader, err := src.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for {
		b, err := reader.Read(ctx)
		switch {
		case err == io.EOF: // a sealed stream without a record from here on
			return nil, nil
		case err != nil:
			return nil, err
		case len(b.Records) > 0:
			return &b.Records[0], nil
		case b.CaughtUp || b.Closed:
			return nil, nil
		}
	}
}

// A sealCmd ends a stream for good.
type sealCmd struct {
	URL string `arg:"" help:"The stream."`
}

// Run ends the stream. Readers then see the end of the stream, and appends fail with ErrStreamClosed.
func (c *sealCmd) Run(ctx context.Context) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.can("sealed", t.seal != nil); err != nil {
			return err
		}
		return t.seal(ctx)
	})
}

// A trimCmd drops records from the beginning.
type trimCmd struct {
	URL    string `arg:"" help:"The stream."`
	Before string `arg:"" help:"The offset of the first record to keep, as tail prints it."`
}

// Run drops the records before an offset. Only an offset is taken, and no time or word: what is dropped here is gone
// for good, and the offset was seen by the user.
func (c *trimCmd) Run(ctx context.Context) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.can("trimmed", t.trim != nil); err != nil {
			return err
		}
		before, err := printedOffset(c.Before, "an offset as tail prints it")
		if err != nil {
			return err
		}
		return t.trim(ctx, before)
	})
}

// An rmCmd deletes a stream.
type rmCmd struct {
	URL string `arg:"" help:"The stream."`
	Yes bool   `help:"Delete without being asked." short:"y"`
}

// Run deletes the stream, after the user has confirmed it. The whole word yes is asked for, because the name in the
// question may be another one than the user had in mind.
func (c *rmCmd) Run(ctx context.Context, std streams) error {
	return withExisting(ctx, c.URL, func(t *target) error {
		if err := t.can("deleted", t.remove != nil); err != nil {
			return err
		}
		if !c.Yes {
			fmt.Fprintf(std.err, "Delete %s and all its records? Type yes: ", t.name)
			var answer string
			_, err := fmt.Fscanln(newInput(ctx, std.in), &answer)
			switch {
			case ctx.Err() != nil: // the answer may have come with the signal: better delete nothing
				return ctx.Err()
			case err != nil || answer != "yes":
				return errors.New("nothing was deleted")
			}
		}
		return t.remove(ctx)
	})
}
