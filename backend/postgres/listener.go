package postgres

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A listener tells waiting readers that something was committed. It holds a connection beside those of the pool, from the first reader
// that waits until Close. A notification that is missed costs a reader the time until it asks by itself.
type listener struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	changed map[int64]chan struct{} // by stream, 0 for one that did not exist; closed at its next notification
	cancel  context.CancelFunc
	done    chan struct{} // nil: not started
	closed  bool
}

func newListener(pool *pgxpool.Pool) *listener {
	return &listener{pool: pool, changed: map[int64]chan struct{}{}}
}

// next returns a channel that is closed at the next notification of the stream.
func (l *listener) next(stream int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil && !l.closed {
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel, l.done = cancel, make(chan struct{})
		go l.run(ctx)
	}
	c := l.changed[stream]
	if c == nil {
		c = make(chan struct{})
		l.changed[stream] = c
	}
	return c
}

// tell wakes those who wait for the stream that the payload of a notification names, or all where it names none.
func (l *listener) tell(payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, err := strconv.ParseInt(payload, 10, 64)
	for stream, c := range l.changed {
		if err != nil || stream == id || stream == 0 {
			close(c)
			delete(l.changed, stream)
		}
	}
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
	defer func() {
		bounded, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(bounded)
	}()
	if _, err := c.Exec(ctx, `LISTEN headrace`); err != nil {
		return err
	}
	l.tell("") // what was committed before the LISTEN
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		l.tell(n.Payload)
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
