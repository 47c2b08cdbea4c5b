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

	mu sync.Mutex
	// changed holds the channels by stream, with 0 for streams that did not exist. A channel is closed at the next
	// notification of its stream. A stream without waiting readers has no channel, so the map stays small.
	changed map[int64]chan struct{}
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
	// The connection is made for the first reader, and not by Open: a program that only writes needs no connection, and its
	// appends need no NOTIFY.
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

// run listens again after each loss of the connection. Meanwhile nobody holds the lock, and appends send no notifications.
// The next listen wakes all readers, so no reader misses what was appended in between.
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

// listen tells the readers of each notification, until the connection is lost or ctx ends.
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
	// The lock belongs to the session. When the connection ends, the server releases the lock, also after a crash of this
	// process. Otherwise all writers would notify for ever.
	for _, statement := range []string{listenSQL, `LISTEN headrace`} {
		if _, err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	// settle comes behind both statements. In front of LISTEN, settle could wake a reader, and a commit directly behind
	// would be heard by nobody.
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
	// Each transaction that has asked for the lock before we held it has a number below next: see listening. Without the
	// wait for these transactions, a reader would find their records only at its next Poll.
	var next int64
	if err := c.QueryRow(ctx, nextSQL).Scan(&next); err != nil {
		return err
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var ended bool
		if err := c.QueryRow(ctx, endedSQL, next).Scan(&ended); err != nil {
			return err
		}
		// One of the transactions may have ended. A reader must not wait for the last one: that may be a transaction of
		// another program, which runs for hours.
		l.tell("")
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
