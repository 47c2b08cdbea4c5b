package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// finish waits at the end of the stream until all that was handed out is done. In a loop that acknowledges by asking for
// the next record that is so already.
func (l *loop[T]) finish(ctx context.Context) error {
	head := l.next()
	l.run.endAt.Store(head)
	stall := l.run.stalls()
	defer stall.ticks.Stop()
	for l.run.track.low.Load() < head {
		select {
		case <-l.run.wake:
			if l.run.due() {
				if err := l.tidy(ctx); err != nil {
					return err
				}
			}
		case <-stall.ticks.C:
			stall.look(ctx, "consumer: the loop waits at its end for a record that is not done")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// close ends what runs beside the loop and saves the place. The caller's ctx may well be over: that is how most loops
// end, and the place must be saved nevertheless.
func (l *loop[T]) close(ctx context.Context) error {
	l.stop()
	if l.timer != nil {
		l.timer.Stop()
	}
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.c.cfg.drainTimeout)
	defer cancel()
	err := l.run.save(budget)
	// After the save, which is worth more than a prompt end; the reader has been told to end all the while.
	l.pipe.group.Wait()
	if err == nil {
		return nil
	}
	// It is no context's error, even when the time for the save ran out: whoever takes a cancelled or expired ctx for a
	// clean end must not take this for one. And the loop is over, so there is nothing to try again.
	err = &without{fmt.Errorf("consumer: final checkpoint: %w", err),
		[]error{context.Canceled, context.DeadlineExceeded, backend.ErrTransient}}
	// Logged whoever may be told: a body that breaks out of the loop may never call the consumer again.
	l.c.cfg.logger.ErrorContext(ctx, "consumer: the final save of the checkpoint failed", "key", l.c.cfg.key, "err", err)
	return err
}

// leave ends a loop whose body broke, returned or panicked: what it has to say comes with the next call.
func (l *loop[T]) leave(ctx context.Context) { l.c.finished(l.close(ctx)) }

// settle ends a loop that is over because of err, and returns what is to be said.
func (l *loop[T]) settle(ctx context.Context, err error) error {
	failed := l.close(ctx)
	l.c.finished(nil)
	switch {
	case failed == nil:
		return err
	case err == nil, err == ctx.Err(), err == l.unsaved:
		return failed // the end, ctx and an earlier save that failed are no news beside it
	}
	return errors.Join(err, failed) // two things to mend
}
