package postgres

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A listener wakes waiting readers after a commit. The listener holds a connection in addition to the pool's, from the
// first waiting reader until Close. If a notification is lost, the reader finds the records at its next Poll.
type listener struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	changed map[int64]chan struct{} // by stream, 0 for streams that did not exist; closed at the next notification
	cancel  context.CancelFunc
	done    chan struct{} // nil before the first reader
	closed  bool
}

func newListener(pool *pgxpool.Pool) *listener {
	return &listener{pool: pool, changed: map[int64]chan struct{}{}}
}

// next returns a channel that is closed at the stream's next notification.
func (l *listener) next(stream int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil && !l.closed {
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel, l.done = cancel, make(chan struct{})
		go l.run(ctx)
	}
	// All readers of a stream wait for the same channel, because a notification wakes all of them.
	c := l.changed[stream]
	if c == nil {
		c = make(chan struct{})
		l.changed[stream] = c
	}
	return c
}

// The payload of a notification is the number of a stream. tell wakes the readers of this stream. If the payload is no
// number, tell wakes all readers. A reader of a missing stream does not know the number yet, and tell always wakes such
// a reader.
func (l *listener) tell(payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Any user of the database may notify the channel. A payload that we do not know costs a query for each reader,
	// and nothing else.
	id, err := strconv.ParseInt(payload, 10, 64)
	for stream, c := range l.changed {
		if err != nil || stream == id || stream == 0 {
			// The channel is removed, and the next reader that asks gets a new channel. A channel can be closed only
			// once.
			close(c)
			delete(l.changed, stream)
		}
	}
}

func (l *listener) run(ctx context.Context) {
	defer close(l.done)
	for ctx.Err() == nil {
		_ = l.listen(ctx) // without notifications, readers still ask every Poll
		// The pause keeps a server that refuses connections from being asked without end.
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
	c := conn.Hijack() // the pool must not give a listening connection to others
	defer func() {
		// ctx may have ended, and the server must still learn that the connection ends. A dead server must not hold
		// up DB.Close for longer than a second.
		bounded, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(bounded)
	}()
	for _, statement := range []string{listenSQL, `LISTEN headrace`} {
		if _, err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := l.settle(ctx, c); err != nil {
		return err
	}
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		l.tell(n.Payload)
	}
}

// settle waits for the end of all transactions that may have appended without a notification, because nobody was
// listening at their append. settle reports the notifications that arrive meanwhile.
func (l *listener) settle(ctx context.Context, c *pgx.Conn) error {
	var next int64
	if err := c.QueryRow(ctx, nextSQL).Scan(&next); err != nil {
		return err
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var ended bool
		if err := c.QueryRow(ctx, endedSQL, next).Scan(&ended); err != nil {
			return err
		}
		l.tell("") // wake all: a transaction may have ended
		if ended {
			return nil
		}
		if err := l.tellFor(ctx, c, pause); err != nil {
			return err
		}
	}
}

// tellFor reports the notifications that arrive within d.
func (l *listener) tellFor(ctx context.Context, c *pgx.Conn, d time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, err := c.WaitForNotification(bounded)
		switch {
		case err == nil:
			l.tell(n.Payload)
		// The connection remains usable after the time has passed.
		case bounded.Err() != nil && ctx.Err() == nil && !c.IsClosed():
			return nil
		default:
			return err
		}
	}
}

func (l *listener) close() {
	l.mu.Lock()
	l.closed = true
	cancel, done := l.cancel, l.done
	l.mu.Unlock()
	if done != nil {
		// Readers may stay open: run ends here, and the readers poll.
		cancel()
		<-done
	}
}
