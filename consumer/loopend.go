package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/outcome"
)

// At the end of the stream, waitAllDone waits until all records handed out are done. A loop in the mode inOrder does not
// wait: all its records are done when the body asks for the next one.
func (l *loop[T]) waitAllDone(ctx context.Context) error {
	// From here on lowMoved wakes us when the last record is done.
	head := l.next()
	l.run.endAt.Store(head)
	stall := l.run.stalls()
	defer stall.ticks.Stop()
	for l.run.track.low.Load() < head {
		select {
		// While we wait for a late Ack or receipt, places are saved as usual.
		case <-l.run.wake:
			if l.run.saveDue() {
				if err := l.saveBetween(ctx); err != nil {
					return err
				}
			}
		case <-stall.ticks.C:
			stall.look(ctx, "consumer: the loop waits at its end because a record is not done")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// close ends the reader, the decoders and the timer, and saves the last place. The caller's ctx may be over already: most
// loops end by a cancelled ctx, and their place must be saved too. Therefore the save has a time budget of its own,
// DrainTimeout.
func (l *loop[T]) close(ctx context.Context) error {
	l.stop()
	l.pipe.wake()
	if l.timer != nil {
		l.timer.Stop()
	}
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.c.cfg.drainTimeout)
	defer cancel()
	// Wait for the goroutines after the save: the save is more important than a prompt end, and stop has told the
	// goroutines to end before the save began. Wait also when the store or a hook panics in the save.
	defer l.pipe.goroutines.Wait()
	err := l.run.save(budget)
	if err == nil {
		return nil
	}
	// The error hides context errors, even when the time for the save ran out. A caller may treat a cancelled or expired
	// ctx as a clean end, and must not treat a lost save as clean. The error also hides ErrTransient: the loop is over,
	// and the caller has nothing to try again.
	meaning := outcome.Of(err).Not(context.Canceled, context.DeadlineExceeded)
	meaning.Retry = false
	err = meaning.Error(fmt.Errorf("consumer: save the final checkpoint: %w", err))
	// We log the error even though a caller may receive the error: after a break, the body may never call the consumer
	// again.
	l.c.cfg.logger.ErrorContext(ctx, "consumer: the final save of the checkpoint failed", "err", err)
	return err
}

// closeAfterBreak ends a loop whose body broke out, returned or panicked. The loop cannot yield an error any more.
// Therefore the next loop of the consumer begins with the error of the final save.
func (l *loop[T]) closeAfterBreak(ctx context.Context) {
	var failed error
	defer func() { l.c.loopEnded(failed) }() // also when close panics: otherwise no other loop could begin
	failed = l.close(ctx)
}

// closeWith ends a loop because of err (nil at the end of the stream), and returns the last error for the loop to yield.
func (l *loop[T]) closeWith(ctx context.Context, err error) error {
	failed := func() error {
		defer l.c.loopEnded(nil) // also when close panics, as above
		return l.close(ctx)
	}()
	switch {
	case failed == nil:
		return err
	case err == nil, err == ctx.Err(), err == l.saveErr:
		// The failed save is more important than the end of the stream or of ctx. And an earlier save that failed in
		// the same loop has, most likely, the same reason.
		return failed
	}
	// The operator must mend two faults.
	return errors.Join(err, failed)
}
