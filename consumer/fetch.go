package consumer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// A fetcher reads a source from one place on and goes on where it was when a reader dies. It runs in one goroutine and
// does not know T.
type fetcher struct {
	src        backend.Source
	at         backend.Offset // where the next batch begins
	stopAtTail bool
	bound      bound // with stopAtTail
	reached    bool  // this reader has seen the tail
	track      *tracker
	stalls     func() *stall
	retry      backoff.Policy
	hooks      hooks
	logger     *slog.Logger
	counters   *counters

	// deliver takes a batch. start is where the first batch of a relative start begins, else "". It fails when ctx is over.
	deliver func(ctx context.Context, b backend.Batch, start backend.Offset) error
}

// run returns why nothing more comes: nil at the end of a closed stream, and at the tail when it stops there.
func (f *fetcher) run(ctx context.Context) error {
	// Attempts in a row without progress: neither a new place nor a reader that outlived the longest backoff. A server that
	// accepts and drops must not be hammered. spent are the attempts that count against the budget: a routine end does
	// not, and a reader that reached the tail was worth opening, or an idle consumer would not survive routine
	// disconnections.
	f.counters.caughtUp.Store(false) // that of the loop before
	down := outage{logger: f.logger}
	for attempt, spent, lost := 1, 0, false; ; attempt++ {
		begun, from := time.Now(), f.at
		f.reached = false
		ended, err := f.session(ctx, attempt, lost, &down)
		if ended {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.counters.caughtUp.Store(false) // who knows what is appended until the next reader is open
		if !retryable(err) {
			return fmt.Errorf("consumer: read from %q: %w", f.at, err)
		}
		lived := time.Since(begun)
		if f.at != from || f.retry.Progress(lived) {
			attempt, spent = 1, 0
		} else if f.reached {
			spent = 0
		}
		if !backend.Routine(err) {
			spent++
		}
		if spent > f.retry.Budget {
			return fmt.Errorf("consumer: read from %q: %w", f.at, gaveUp(spent, err))
		}
		lost = true
		delay := f.retry.Delay(attempt, err)
		down.failed(ctx, "consumer: lost the reader, and opens it again", err, "at", f.at, "attempt", attempt, "retry_in", delay)
		fire(f.hooks, readerLost, ReaderEvent{From: f.at, Attempt: attempt, Elapsed: lived, Err: err, Delay: delay})
		if !backoff.Sleep(ctx, delay) {
			return ctx.Err()
		}
	}
}

// session reads with one reader until it dies. It returns true once there is nothing more to read: at the end of a closed
// stream, and at the tail when that is enough.
func (f *fetcher) session(ctx context.Context, attempt int, lost bool, down *outage) (ended bool, err error) {
	begun := time.Now()
	r, err := f.open(ctx, f.at)
	if err != nil {
		return false, err
	}
	defer r.Close() // a reader that fails to close takes nothing with it: what it returned was complete
	ev := ReaderEvent{From: f.at, Attempt: attempt, Elapsed: time.Since(begun)}
	if lost {
		f.counters.reopened.Add(1)
		f.logger.InfoContext(ctx, "consumer: reopened the reader", "at", f.at, "attempt", attempt)
		fire(f.hooks, readerReopened, ev)
	} else {
		fire(f.hooks, readerOpened, ev)
	}
	for {
		// Before the read and not after it: a batch that is held back here would be memory without an account.
		if err := f.track.budget.room(ctx, f.stalls); err != nil {
			return false, err
		}
		b, err := r.Read(ctx)
		if err == io.EOF { // bare: inside another error it is a cause, such as a connection that was cut
			return true, nil
		}
		if err != nil {
			return false, err
		}
		down.over(ctx, "consumer: reads again", "at", f.at)
		if f.stopAtTail {
			if b, err = f.bound.apply(ctx, f, b); err != nil {
				return false, err
			}
		}
		if err := f.take(ctx, b); err != nil {
			return false, err
		}
		if f.bound.passed {
			return true, nil
		}
	}
}

// open opens a reader. An io.EOF from here must not pass for the end of the stream, which only Read may tell: the loop
// would end without an error and with nothing read.
func (f *fetcher) open(ctx context.Context, at backend.Offset) (backend.Reader, error) {
	r, err := f.src.OpenReader(ctx, at)
	if err == io.EOF {
		return nil, fmt.Errorf("OpenReader failed with io.EOF, by which only Read may end a stream: %w", err)
	}
	return r, err
}

// take moves on behind b and delivers it.
func (f *fetcher) take(ctx context.Context, b backend.Batch) error {
	f.reached = f.reached || b.CaughtUp
	n := len(b.Records)
	if b.Next == "" && n > 0 {
		b.Next = b.Records[n-1].Next
	}
	// A relative start stands until here: before a reader has said where it is there is nothing else to open. From here
	// on it is never sent again, or a reconnect would move Latest to a later tail.
	var start backend.Offset
	if f.at.Relative() {
		if start = b.Next; n > 0 {
			start = b.Records[0].Offset
		}
		if start == "" || start.Relative() {
			return fmt.Errorf("the first batch names no place but %q", start)
		}
	}
	if b.Next == "" && n > 0 {
		// To go on from anywhere else would repeat records or lose some.
		return fmt.Errorf("the batch at %q does not say where to go on", b.Records[0].Offset)
	}
	f.observe(b)
	if b.Next == "" || n == 0 && b.Next == f.at {
		return nil // it only said that it is alive, or caught up
	}
	f.at = b.Next
	return f.deliver(ctx, b, start)
}

func (f *fetcher) observe(b backend.Batch) {
	f.counters.read.Add(uint64(len(b.Records)))
	f.counters.caughtUp.Store(b.CaughtUp)
	// The clock and the sizes are for the hooks alone.
	if len(f.hooks) == 0 {
		return
	}
	ev := ReadEvent{Records: len(b.Records), CaughtUp: b.CaughtUp}
	for i := range b.Records {
		ev.Bytes += weigh(&b.Records[i])
	}
	at, _, ok := f.track.oldest()
	if !ok && len(b.Records) > 0 {
		at = b.Records[0].Time // all before this batch is done
	}
	ev.Lag = age(at)
	fire(f.hooks, batchRead, ev)
}
