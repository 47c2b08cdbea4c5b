package postgres

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// hiddenPoll is how often the waiters are looked at for which records are committed, but hidden by an older
	// transaction. The end of that transaction sends no notification if the transaction has not appended.
	hiddenPoll = 20 * time.Millisecond
	// lookTime bounds a look: a dead connection must not hold up the readers of all streams.
	lookTime = 10 * time.Second
	// lookPlaces is how many places one query asks about.
	lookPlaces = 1000
)

// A board holds the readers of a DB that wait for something new. A notification wakes the readers of its stream. What no
// notification reports, a look finds: one query asks for all waiting readers together. If each reader asked for itself,
// a thousand idle readers would cost the database a thousand queries in each [Poll].
//
// A board has a timer and no goroutine of its own.
type board struct {
	look func(context.Context, []*waiter) ([]finding, error) // see DB.look
	poll time.Duration

	mu      sync.Mutex
	waiters map[int64][]*waiter // by stream, with 0 for streams that did not exist
	// recent holds the streams of the latest notifications, and told counts all notifications. So a reader that begins to
	// wait learns of a notification that came since the beginning of its last query.
	recent  [64]int64
	told    uint64
	timer   *time.Timer        // begins the next look; nil before the first waiter
	due     time.Time          // when timer fires; zero while timer is stopped
	next    time.Time          // when the next look at all waiters is due
	soon    bool               // a waiter has soon
	looking context.CancelFunc // ends the look that is running; nil without
}

// A waiter is one wait of a reader.
type waiter struct {
	stream string
	id     int64 // 0: the stream did not exist
	at     position
	wake   func() // called once, by the board with its lock held or by the Close of the reader

	waiting bool // the waiter is on the board
	soon    bool // the waiter must not wait for the next look at all waiters
}

// A finding is what a look tells about a waiter.
type finding struct {
	ready  bool // a query of the reader would return something new
	hidden bool // only hidden records are there
}

func newBoard(poll time.Duration, look func(context.Context, []*waiter) ([]finding, error)) *board {
	return &board{look: look, poll: poll, waiters: map[int64][]*waiter{}}
}

// mark is called before a query. await gets the result, and does not miss what was told after mark.
func (b *board) mark() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// await lets w wait. If the stream of w was told of since mark returned since, await returns false, and w does not wait.
func (b *board) await(w *waiter, since uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := uint64(len(b.recent))
	missed := b.told - since
	for n := range min(missed, size) {
		if w.id != 0 && b.recent[(b.told-1-n)%size] == w.id {
			return false
		}
	}
	// Nobody knows whether the other notifications were about the stream of w: a reader of a missing stream does not know
	// the number of its stream, and recent is too short for all.
	w.soon = w.soon || w.id == 0 || missed > size
	w.waiting = true
	// The query of w has looked just now. So the first waiter need not be looked at before the poll has passed.
	if now := time.Now(); len(b.waiters) == 0 && b.next.Before(now) {
		b.next = now.Add(b.poll)
	}
	b.waiters[w.id] = append(b.waiters[w.id], w)
	b.soon = b.soon || w.soon
	b.arm()
	return true
}

// withdraw ends the wait of w. If wake was called already, withdraw returns false.
func (b *board) withdraw(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	waited := w.waiting
	b.remove(w)
	// Without the cancellation, a query that hangs would hold up the Close of the pool, though all readers are closed.
	if waited && len(b.waiters) == 0 && b.looking != nil {
		b.looking()
	}
	return waited
}

// remove takes w off the board.
func (b *board) remove(w *waiter) {
	if !w.waiting {
		return
	}
	w.waiting = false
	others := b.waiters[w.id]
	if len(others) == 1 {
		delete(b.waiters, w.id)
		return
	}
	i := slices.Index(others, w)
	b.waiters[w.id] = slices.Delete(others, i, i+1)
}

// tell takes the payload of a notification. A number is the number of a stream, and tell wakes the readers of this stream.
// Any other payload, and tellAll, begin a look at all waiters: any user of the database may notify the channel.
func (b *board) tell(payload string) {
	id, err := strconv.ParseInt(payload, 10, 64)
	if err != nil || id == 0 {
		b.tellAll()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent[b.told%uint64(len(b.recent))] = id
	b.told++
	for _, w := range b.waiters[id] {
		w.waiting = false
		w.wake()
	}
	delete(b.waiters, id)
	// The stream may be new, and a reader of a missing stream may wait for it.
	for _, w := range b.waiters[0] {
		w.soon, b.soon = true, true
	}
	b.arm()
}

// tellAll begins a look at all waiters at once.
func (b *board) tellAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told += uint64(len(b.recent)) + 1 // a reader whose query is running must be looked at too
	b.next = time.Time{}
	b.arm()
}

// arm sets the timer to the next look.
func (b *board) arm() {
	if b.looking != nil || len(b.waiters) == 0 { // run arms the timer after the look that is running
		return
	}
	now := time.Now()
	at := b.next
	if soon := now.Add(min(b.poll, hiddenPoll)); b.soon && soon.Before(at) {
		at = soon
	}
	// An earlier time stays. If each call moved the time on, frequent notifications would put the look off for ever.
	if !b.due.IsZero() && !at.Before(b.due) {
		return
	}
	if b.due = at; at.IsZero() {
		b.due = now
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(at.Sub(now), b.run)
	} else {
		b.timer.Reset(at.Sub(now))
	}
}

// run looks at the waiters that are due, and wakes those for which there is something new.
func (b *board) run() {
	due, ctx := b.begin()
	if ctx == nil {
		return
	}
	for places := range slices.Chunk(due, lookPlaces) {
		bounded, cancel := context.WithTimeout(ctx, lookTime)
		found, err := b.look(bounded, places)
		cancel()
		b.settle(places, found, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looking() // frees the context
	b.looking = nil
	b.arm()
}

// begin returns the waiters that are due, and a context that ends when nobody waits any more. The context is nil if there
// is nothing to do.
func (b *board) begin() (due []*waiter, ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = time.Time{}
	// A timer that fires while it is set again fires twice.
	if b.looking != nil || len(b.waiters) == 0 {
		return nil, nil
	}
	ctx, b.looking = context.WithCancel(context.Background())
	now := time.Now()
	all := !now.Before(b.next)
	if all {
		b.next = now.Add(b.poll)
	}
	for _, ws := range b.waiters {
		for _, w := range ws {
			if all || w.soon {
				due = append(due, w)
				w.soon = false
			}
		}
	}
	b.soon = false
	return due, ctx
}

// settle wakes the waiters for which there is something new. If the look has failed, settle wakes all of them: each
// reader then asks by itself, and returns the error of its own query.
func (b *board) settle(places []*waiter, found []finding, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range places {
		switch {
		case !w.waiting: // woken or withdrawn since the look began
		case err != nil || found[i].ready:
			b.remove(w)
			w.wake()
		case found[i].hidden:
			w.soon, b.soon = true, true
		}
	}
}
