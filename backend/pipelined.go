package backend

import (
	"context"
	"fmt"
	"sync"
)

// Pipelined makes an Appender for a store whose connection takes further batches before the store has answered the earlier
// batches, and answers in order. The texts of the errors begin with name, for example `mystore: stream "orders"`.
//
// For a store whose client has one blocking call for each append, use [Serial].
func Pipelined(name string, d Dialer) Appender { return &pipelinedAppender{name: name, dialer: d} }

// Lock order: pipelinedAppender.mu, progress.mu, locks of the Conn.
type pipelinedAppender struct {
	name   string
	dialer Dialer

	mu     sync.Mutex // held while Dial runs, so that two calls of Open do not make two connections
	latest *progress  // of the session opened last; nil before the first opening
}

func (a *pipelinedAppender) Limits() Limits { return a.dialer.Limits() }

// Open opens a session that goes on behind the last acknowledged batch. Open refuses to open beside a session that is not
// closed: that session could still acknowledge batches, and the new session would store the batches again.
func (a *pipelinedAppender) Open(ctx context.Context) (Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: open: %w: %w", a.name, ErrTransient, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var next uint64
	if a.latest != nil {
		acked, closed := a.latest.state()
		if !closed {
			return nil, fmt.Errorf("%s: open: the session before was not closed: %w", a.name, ErrConflict)
		}
		next = acked
	}
	conn, err := a.dialer.Dial(ctx, next)
	if err != nil {
		return nil, err
	}
	s := newPipelinedSession(a.name, conn, next, a.dialer.Limits())
	a.latest = s.progress
	return s, nil
}
