package producer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/headrace/headrace/backend"
)

// event describes the part for a hook.
func (p *part) event(seq uint64, err error) BatchEvent {
	return BatchEvent{
		Seq: seq, Records: p.hi - p.lo, Bytes: p.metered, Cause: p.Cause, Attempt: p.attempts,
		Elapsed: time.Since(p.First), Err: err,
	}
}

// sessionOpened counts, logs and reports the opening of a session after a number of failed attempts.
func (e *engine) sessionOpened(failures int, took time.Duration) {
	e.mu.Lock()
	e.stats.Sessions++
	e.stats.Open = true
	ev := SessionEvent{Attempt: failures + 1, Unacked: e.window.maybeStored(), Elapsed: took}
	e.mu.Unlock()
	e.logger.Info("producer: session opened", "attempt", ev.Attempt, "unacked", ev.Unacked, "took", took)
	callHooks(e, hookOpened, ev)
}

// sessionEnded logs and reports the end of a session. During an outage, sessions are lost all the time, and a server that asks
// its clients to move while nothing is in flight does no harm. Both are logged as information, everything else as a warning. The
// end of an idle session is no loss.
func (e *engine) sessionEnded(reason error, failures int, lived time.Duration) {
	e.mu.Lock()
	ev := SessionEvent{Attempt: failures + 1, Unacked: e.window.maybeStored(), Elapsed: lived, Err: reason}
	e.mu.Unlock()
	if errors.Is(reason, errIdle) {
		e.logger.Info("producer: session ended", "lived", lived, "reason", reason)
		callHooks(e, hookIdle, ev)
		return
	}
	level := slog.LevelWarn
	if !e.outage.since.IsZero() || ev.Unacked == 0 && errors.Is(reason, backend.ErrTransient) {
		level = slog.LevelInfo
	}
	e.logger.Log(context.Background(), level, "producer: session lost", "unacked", ev.Unacked, "lived", lived, "err", reason)
	callHooks(e, hookLost, ev)
}
