package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// attempts counts the attempts in a row without progress. An attempt is an opening that failed, or a session that was lost.
type attempts struct {
	failed int // all attempts: the delay grows with the number
	spent  int // attempts that count against the budget
}

// fail counts an attempt that failed with err. When a server only asks its clients to move (backend.Routine), the attempt
// spends nothing of the budget.
func (a *attempts) fail(err error) {
	a.failed++
	if !backend.Routine(err) {
		a.spent++
	}
}

// pause counts an attempt that failed and waits before the next opening. pause gives up with an error when the budget of
// attempts without progress is used up.
func (e *engine) pause(ctx context.Context, tries *attempts, reason error, budget int) error {
	tries.fail(reason)
	if tries.spent > budget {
		return fmt.Errorf("gave up after %d attempts without progress: %w", tries.spent, reason)
	}
	// The outage is noted before the wait, because the operator should learn of the outage while the producer waits.
	e.attemptFailed(*tries, reason)
	if !backoff.Sleep(ctx, e.retry.Delay(tries.failed, reason)) {
		return ctx.Err()
	}
	return nil
}

// open opens a session. open tries again after a transient error, within the budget and ctx. tries counts the attempts that
// failed; the attempts of this call stay in tries when an opening succeeds, because a session is no progress yet.
func (e *engine) open(ctx context.Context, tries *attempts, budget int) (backend.Session, error) {
	for {
		began := time.Now()
		s, err := e.openOnce(ctx)
		if err == nil {
			e.applyLimits()
			e.sessionOpened(tries.failed, time.Since(began))
			return s, nil
		}
		if ctx.Err() != nil { // the caller gave up, so the error says nothing about the store
			return nil, fmt.Errorf("producer: open: %w", err)
		}
		// A refusal of an opening is about no record. Cutting a batch would not help, and a retry would be refused again.
		retry := errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate)
		if isRefusal(err) || !retry {
			return nil, fmt.Errorf("producer: open: %w", err)
		}
		e.openingFailed(tries.failed+1, err)
		if perr := e.pause(ctx, tries, err, budget); perr != nil {
			if ctx.Err() != nil {
				// ctx has ended during the wait, and perr is only the error of ctx. err says why the store could not be reached.
				perr = fmt.Errorf("%w: last attempt: %w", perr, err)
			}
			return nil, fmt.Errorf("producer: open: %w", perr)
		}
	}
}

// openingFailed logs a failed attempt. The first failed attempt of New is a warning, so that the operator sees a wrong address at
// once: New may try again for half a minute before New returns the error.
func (e *engine) openingFailed(attempt int, err error) {
	if !e.started && attempt == 1 {
		e.startLogger.Warn("producer: the sink cannot be opened yet, trying again", "err", err)
		return
	}
	e.logger.Info("producer: opening a session failed", "attempt", attempt, "err", err)
}

// openOnce opens a session once, within AckTimeout. A server that never answers is a transient failure like any other.
func (e *engine) openOnce(ctx context.Context) (backend.Session, error) {
	attempt := ctx
	if e.ackTimeout > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, e.ackTimeout)
		defer cancel()
	}
	s, err := e.appender.Open(attempt)
	switch {
	case err != nil && attempt.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("no answer within AckTimeout: %w: %w", backend.ErrTransient, err)
	case err == nil && s == nil:
		// Without this error, runSessions would open again and again without a pause, and no record would ever be sent.
		err = errors.New("the sink is faulty: Open returned neither a session nor an error")
	}
	return s, err
}

// applyLimits reads the limits of the store, which may change with every opening, and applies the limits to records that are
// put from now on, to batches being filled and to parts that no session has taken.
func (e *engine) applyLimits() {
	limits := e.appender.Limits()
	e.limits.Store(&limits)
	e.queue.Resize(least(e.batchRecords, limits.BatchRecords), least(e.batchBytes, limits.BatchBytes))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.refit(&limits)
}

// least returns the smaller of the user's number and the limit of the store. A limit of 0 means no limit.
func least(asked, limit int) int {
	if limit > 0 {
		return min(asked, limit)
	}
	return asked
}
