package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A listener tells a board of the notifications. The listener holds a connection in addition to the pool's, from the first
// query of a reader until Close. If a notification is lost, the board finds the records at its next look.
type listener struct {
	pool  *pgxpool.Pool
	board *board

	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{} // nil before the first reader
	closed bool
}

// begin begins to listen, unless the listener listens already or is closed. The connection is made for the first reader,
// and not by Open: a program that only writes needs no connection, and its appends need no NOTIFY.
func (l *listener) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil && !l.closed {
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel, l.done = cancel, make(chan struct{})
		go l.run(ctx)
	}
}

// run listens again after each loss of the connection. Meanwhile nobody holds the lock, and appends send no notifications.
// The next listen begins with a look at all waiting readers, so no reader misses what was appended in between.
func (l *listener) run(ctx context.Context) {
	defer close(l.done)
	for ctx.Err() == nil {
		_ = l.listen(ctx) // without notifications, the board still looks every Poll
		// The pause keeps a server that refuses connections from being asked without end.
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// listen tells the board of each notification, until the connection is lost or ctx ends.
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
		l.board.tell(n.Payload)
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
		l.board.tellAll()
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
			l.board.tell(n.Payload)
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
		// Readers may stay open: run ends here, and the board looks every Poll.
		cancel()
		<-done
	}
}
