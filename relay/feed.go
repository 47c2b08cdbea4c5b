package relay

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A feed reads the source ahead of the relay. If a reader is lost, the feed opens a new reader at the same place.
type feed struct {
	config *config
	source backend.Source
	at     backend.Offset // where the next reader opens; used only by the goroutine that reads

	batches chan backend.Batch
	err     error // the reason why batches is closed; nil at the end of the source
	cancel  context.CancelFunc
	reading sync.WaitGroup

	rest   []backend.Record // records that are read and not yet part of a round
	behind backend.Offset   // the place behind rest
	last   bool             // batches is closed
}

func startFeed(ctx context.Context, c *config, source backend.Source, from backend.Offset) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{config: c, source: source, at: from, batches: make(chan backend.Batch, 4), cancel: cancel}
	// The source is read beside the relay, so that reading and sending take place at the same time. The channel
	// bounds how many batches are held in memory.
	f.reading.Go(func() {
		defer close(f.batches)
		if f.err = f.read(ctx); f.err == io.EOF {
			f.err = nil
		}
	})
	return f
}

func (f *feed) stop() {
	// stop waits, because the goroutine may be inside a call of the source, and Run must leave nothing running.
	f.cancel()
	f.reading.Wait()
}

// read reads until the end of the source. Each batch that read hands over counts as progress.
func (f *feed) read(ctx context.Context) error {
	moved := false
	return f.config.retry(ctx, "read the source", func() error {
		moved = false
		// f.at is behind the last batch that the relay has got. A new reader therefore returns no record twice, and
		// leaves out none.
		r, err := f.source.OpenReader(ctx, f.at)
		if err != nil {
			return err
		}
		defer r.Close()
		for {
			b, err := r.Read(ctx)
			if err == io.EOF {
				return nil
			}
			if err == nil {
				b, err = located(f.at, b)
			}
			if err != nil {
				return err
			}
			select {
			case f.batches <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			f.at, moved = b.Next, true
			if b.CaughtUp && f.config.stopAtTail {
				return nil
			}
		}
	}, func() bool { return moved })
}

// located returns b with its Next, also where the source leaves Next out. at is the place before b. The checkpoint needs
// places. With an empty place in the checkpoint, no later relay could go on. With a relative place, such as Latest, the
// records that arrive between two relays would be lost.
func located(at backend.Offset, b backend.Batch) (backend.Batch, error) {
	n := len(b.Records)
	for i := range b.Records {
		if b.Records[i].Offset == "" || b.Records[i].Next == "" {
			return b, fmt.Errorf("the source is faulty: record %d of the batch behind %q does not say where it begins and ends", i, at)
		}
	}
	switch {
	case b.Next != "":
	case n > 0:
		b.Next = b.Records[n-1].Next
	default: // the source has only said that the connection is alive, or that the tail is reached
		b.Next = at
	}
	if b.Next.Relative() {
		return b, fmt.Errorf("the source is faulty: the first batch does not say at which offset it begins, only %q", b.Next)
	}
	return b, nil
}

// next waits for a batch, unless there are records in rest. The batch may be empty. At the end of the source, next
// returns false.
func (f *feed) next(ctx context.Context) (bool, error) {
	// Records may be left from the round before: the round was full, or the target cannot take a record.
	if len(f.rest) > 0 {
		return true, nil
	}
	if f.last {
		return false, f.err
	}
	select {
	case b, ok := <-f.batches:
		if !ok {
			f.last = true
			// The goroutine sets f.err before the goroutine closes the channel, so we may read f.err here.
			return false, f.err
		}
		f.rest, f.behind = b.Records, b.Next
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// idle reports whether all records that were read are part of a round.
func (f *feed) idle() bool { return len(f.rest) == 0 && len(f.batches) == 0 }

// collect waits for a batch, and makes a round of all records that have arrived. If the source has only moved on
// without records, the round is empty. At the end of the source, collect returns nil.
func (f *feed) collect(ctx context.Context, limits backend.Limits) (*round, error) {
	c := &cutter{convert: f.config.convert, limits: limits}
	// Only the first turn waits. Later turns take what has arrived already: a small round now is better than a full
	// round later, because the records of a slow source would wait.
	for first := true; first || !f.idle(); first = false {
		more, full := false, false
		var err error
		if more, err = f.next(ctx); err == nil && more {
			full, err = f.cut(c)
		}
		switch {
		case len(c.batches) > 0 && (err != nil || !more || full):
			return &c.round, nil // first send the records before the error or the end; the next call returns it
		case err != nil:
			return nil, err
		case !more:
			return nil, nil
		}
	}
	// The source has said only where it is, for example at the tail. The relay keeps this place, so that a relay with
	// a relative start does not lose the beginning.
	if len(c.batches) == 0 {
		c.behind = f.behind
	}
	return &c.round, nil
}

// cut moves records from rest into the round, until the round is full.
func (f *feed) cut(c *cutter) (full bool, err error) {
	for len(f.rest) > 0 {
		if full, err := c.add(&f.rest[0]); full || err != nil {
			return full, err
		}
		f.rest = f.rest[1:]
		// An announced round ends with its last record, and not with the record behind it. That record may not exist
		// yet, and the relay would wait for it while batches are in doubt.
		if c.announced != nil && c.done() {
			return true, nil
		}
	}
	return false, nil
}

// collectAnnounced reads the records of an announced round once more, with the same cuts.
func (f *feed) collectAnnounced(ctx context.Context, counts []int) (*round, error) {
	// There are no limits here. Another target limit, or another version of this program, must not change the cuts.
	c := &cutter{convert: f.config.convert, announced: counts}
	for {
		more, err := f.next(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			// The announced batches may or may not be in the target, and they cannot be made again. To go on would
			// lose records or store them twice.
			return nil, fmt.Errorf("the source ends before the records that were announced: %w", backend.ErrOutOfRange)
		}
		if full, err := f.cut(c); full || err != nil {
			return &c.round, err
		}
	}
}
