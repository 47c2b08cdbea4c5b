package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// A fetcher reads a source from one place on. When a reader fails, the fetcher opens another reader at the place reached.
// A fetcher runs in one goroutine at a time, or waits at the tail without a goroutine. A fetcher does not depend on the type
// parameter T.
type fetcher struct {
	src      backend.Source
	key      string         // of the checkpoint; empty without a checkpoint
	at       backend.Offset // the place where the next batch begins
	bound    stopBound      // where the loop ends
	track    *tracker
	stalls   func() *stall // watches the low-water mark while the budget is full
	retry    backoff.Policy
	hooks    hooks
	logger   *slog.Logger
	counters *counters

	// deliver takes a batch. start is the place where the first batch after a relative start begins, and is empty for
	// all other batches. deliver fails only when ctx is over.
	deliver func(ctx context.Context, b backend.Batch, start backend.Offset) error

	reader  backend.Reader // the current reader; nil between two readers
	from    backend.Offset // where the current reader was opened, or is being opened
	begun   time.Time      // when the opening began
	sawTail bool           // the current reader has reached the tail
	mayWait bool           // the last batch of the current reader has reached the tail
	tail    tailWait

	// attempt counts attempts in a row without progress, and sets the backoff. Progress is a new place, or a reader that
	// lived longer than the longest backoff: otherwise a server that accepts readers and drops each reader at once would
	// be asked again and again without a pause.
	//
	// spent counts the attempts that use up the budget. A routine end of a reader (backend.Routine) does not count. A
	// reader that reached the tail was useful, and sets spent back to 0: otherwise an idle consumer would not survive
	// routine disconnections.
	attempt, spent int
	lost           bool   // a reader was lost before
	down           outage // of the source; logs to the start logger until the first batch was read
}

// runGuarded is run, and returns a panic of the source or of a hook as an error. Otherwise the panic would end the process,
// because nobody can recover it in the goroutine of the reader.
func (f *fetcher) runGuarded(ctx context.Context) (err error) {
	defer func() {
		if p := new(PanicError); errors.As(err, &p) {
			err = fmt.Errorf("consumer: read from %q: %w", f.at, p)
		}
	}()
	defer panicToError(&err)
	return f.run(ctx)
}

// run reads until nothing more comes, and returns why. The reason is nil at the end of a closed stream and, with
// StopAtTail, at the tail. run also returns, with errParked, when the fetcher waits without a goroutine.
func (f *fetcher) run(ctx context.Context) error {
	for {
		ended, err := f.readUntilLost(ctx)
		switch {
		case err == errParked:
			return err
		case ended:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		// Until the next reader is open, others may append without our knowledge.
		f.counters.caughtUp.Store(false)
		if !retryable(err) {
			return f.failed(err)
		}
		if err := f.pause(ctx, err); err != nil {
			return err
		}
	}
}

// failed is the error of a loop that cannot read. A place that the stream lacks is a question for the operator, who needs
// the key of the checkpoint with the place: the stream was trimmed, or is not the stream of this checkpoint.
func (f *fetcher) failed(err error) error {
	if f.key != "" && errors.Is(err, backend.ErrOutOfRange) {
		return fmt.Errorf("consumer: read from %q, the place of the checkpoint %.64q (consumer.Reset moves a place): %w", f.at, f.key, err)
	}
	return fmt.Errorf("consumer: read from %q: %w", f.at, err)
}

// pause counts a reader that was lost because of err, and waits before the next opening. pause returns an error when the budget of
// attempts is used up, or when ctx ends.
func (f *fetcher) pause(ctx context.Context, err error) error {
	lived := time.Since(f.begun)
	if f.at != f.from || f.retry.Progress(lived) {
		f.attempt, f.spent = 1, 0
	} else if f.sawTail {
		f.spent = 0
	}
	if !backend.Routine(err) {
		f.spent++
	}
	if f.spent > f.retry.Budget {
		return fmt.Errorf("consumer: read from %q: %w", f.at, gaveUp(f.spent, err))
	}
	f.lost = true
	delay := f.retry.Delay(f.attempt, err)
	f.down.failed(ctx, "consumer: the reader failed and will be opened again", err, "at", f.at, "attempt", f.attempt, "retry_in", delay)
	fire(f.hooks, hookReaderLost, ReaderEvent{From: f.at, Attempt: f.attempt, Elapsed: lived, Err: err, Delay: delay})
	if !backoff.Sleep(ctx, delay) {
		return ctx.Err()
	}
	f.attempt++
	return nil
}

// readUntilLost opens one reader, or goes on with the reader with which the fetcher has parked, and reads until the reader fails.
// At the end of a closed stream and, with StopAtTail, at the tail, readUntilLost returns true.
func (f *fetcher) readUntilLost(ctx context.Context) (ended bool, err error) {
	if f.reader == nil {
		if err := f.openReader(ctx); err != nil {
			return false, err
		}
	}
	defer func() {
		if err != errParked { // with errParked, another goroutine may use the fetcher already
			// Close may fail without harm: all batches of the reader were complete.
			f.reader.Close()
			f.reader = nil
		}
	}()
	notifier, _ := f.reader.(backend.Notifier)
	for {
		// Wait before the read and not after it. Otherwise a batch would be held back after the read, in memory unknown
		// to the budget.
		if err := f.track.budget.waitForRoom(ctx, f.track.aheadFull, f.stalls); err != nil {
			return false, err
		}
		if notifier != nil && f.mayWait {
			f.mayWait = false // a parked fetcher goes on with Read
			if f.tail.wait(ctx, notifier, &f.track.head) {
				return false, errParked
			}
		}
		b, err := f.reader.Read(ctx)
		// Only a bare io.EOF is the end of the stream. An io.EOF inside another error is a cause, for example of a
		// connection that was cut.
		if err == io.EOF {
			f.counters.closed.Store(true)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		f.down.recovered(ctx, "consumer: the consumer reads again", "at", f.at)
		f.down.logger = f.logger // the address was right, so further failures are outages of the store
		if f.bound.at != "" {
			if b, err = f.bound.apply(ctx, f, b); err != nil {
				return false, err
			}
		}
		if err := f.moveOn(ctx, b); err != nil {
			return false, err
		}
		if f.bound.reached {
			return true, nil
		}
		f.mayWait = b.CaughtUp
	}
}

// openReader opens the next reader, and reports the opening.
func (f *fetcher) openReader(ctx context.Context) (err error) {
	f.begun, f.from, f.sawTail, f.mayWait = time.Now(), f.at, false, false
	if f.reader, err = f.open(ctx, f.at); err != nil {
		f.reader = nil
		return err
	}
	ev := ReaderEvent{From: f.at, Attempt: f.attempt, Elapsed: time.Since(f.begun)}
	if f.lost {
		f.counters.reopened.Add(1)
		f.logger.InfoContext(ctx, "consumer: opened the reader again", "at", f.at, "attempt", f.attempt)
		fire(f.hooks, hookReaderReopened, ev)
	} else {
		fire(f.hooks, hookReaderOpened, ev)
	}
	return nil
}

// open opens a reader. When OpenReader fails with io.EOF, open wraps the error, because only Read may tell the end of the
// stream. Otherwise the loop would end without an error although nothing was read.
func (f *fetcher) open(ctx context.Context, at backend.Offset) (backend.Reader, error) {
	r, err := f.src.OpenReader(ctx, at)
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("the source is faulty: OpenReader returned io.EOF, but only Read may report the end of a stream: %w", err)
	case err == nil && r == nil:
		return nil, errors.New("the source is faulty: OpenReader returned neither a reader nor an error")
	}
	return r, err
}

// moveOn moves f.at behind b and delivers b.
func (f *fetcher) moveOn(ctx context.Context, b backend.Batch) error {
	f.sawTail = f.sawTail || b.CaughtUp
	n := len(b.Records)
	if b.Next == "" && n > 0 {
		b.Next = b.Records[n-1].Next
	}
	// A relative start, such as Latest, stays in f.at until here: before the first batch of a reader, we know no absolute
	// place to open. After this batch the relative start is never sent again. Otherwise a reconnect would move Latest to
	// a later tail and lose the records in between.
	var start backend.Offset
	if f.at.Relative() {
		if start = b.Next; n > 0 {
			start = b.Records[0].Offset
		}
		if start == "" || start.Relative() {
			return fmt.Errorf("the source is faulty: the first batch does not say at which offset it begins, only %q", start)
		}
	}
	if b.Next == "" && n > 0 || b.Next.Relative() {
		// From any other place we would repeat records or lose some. A relative start, such as Latest, would lose the records that
		// come until the next reader is opened.
		return fmt.Errorf("the source is faulty: the batch of %d records at %q does not say at which offset to go on, only %q", n, f.at, b.Next)
	}
	f.observe(b)
	if b.Next == "" || n == 0 && b.Next == f.at {
		// The batch has no records and no new place: the batch is only a sign of life, or tells that we have caught up.
		return nil
	}
	f.at = b.Next
	return f.deliver(ctx, b, start)
}

// observe reports b to the counters and the hooks.
func (f *fetcher) observe(b backend.Batch) {
	f.counters.read.Add(uint64(len(b.Records)))
	f.counters.caughtUp.Store(b.CaughtUp)
	f.counters.closed.Store(b.Closed)
	// Only hooks need the clock and the sizes, so we save both when there are no hooks.
	if len(f.hooks) == 0 {
		return
	}
	ev := ReadEvent{Records: len(b.Records), CaughtUp: b.CaughtUp}
	for i := range b.Records {
		ev.Bytes += weigh(&b.Records[i])
	}
	at, _, ok := f.track.oldest()
	if !ok && len(b.Records) > 0 {
		// All records before this batch are done, so its first record is the oldest.
		at = b.Records[0].Time
	}
	ev.Lag = age(at)
	fire(f.hooks, hookBatchRead, ev)
}
