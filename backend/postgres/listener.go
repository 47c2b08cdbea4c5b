package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A listener tells waiting readers that something was committed. It holds one connection of the pool, from the first reader that waits
// until Close. A notification that is missed costs a reader the time until it asks by itself.
type listener struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	changed chan struct{} // closed at the next notification
	cancel  context.CancelFunc
	done    chan struct{} // nil: not started
	closed  bool
}

func newListener(pool *pgxpool.Pool) *listener {
	return &listener{pool: pool, changed: make(chan struct{})}
}

// next returns a channel that is closed at the next notification.
func (l *listener) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil && !l.closed {
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel, l.done = cancel, make(chan struct{})
		go l.run(ctx)
	}
	return l.changed
}

func (l *listener) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) run(ctx context.Context) {
	defer close(l.done)
	for ctx.Err() == nil {
		_ = l.listen(ctx) // readers ask by themselves meanwhile
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

func (l *listener) listen(ctx context.Context) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	c := conn.Hijack() // a connection that listens must not be given to others
	defer c.Close(context.Background())
	if _, err := c.Exec(ctx, `LISTEN headrace`); err != nil {
		return err
	}
	l.tell() // what was committed before the LISTEN
	for {
		if _, err := c.WaitForNotification(ctx); err != nil {
			return err
		}
		l.tell()
	}
}

func (l *listener) close() {
	l.mu.Lock()
	l.closed = true
	cancel, done := l.cancel, l.done
	l.mu.Unlock()
	if done != nil {
		cancel()
		<-done
	}
}
