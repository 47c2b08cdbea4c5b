package zerobus

import (
	"context"
	"sync"
	"time"
)

// A token is what one table is written with for a while.
type token struct {
	value   string
	expires time.Time // zero: it is used once
	life    time.Duration
}

// due reports whether it is time to replace t, at the latest buffer before its end and never in the first half of its life.
func (t *token) due(now time.Time, buffer time.Duration) bool {
	return t.expires.Sub(now) < min(buffer, t.life/2)
}

func (t *token) valid(now time.Time) bool { return now.Before(t.expires) }

// tokens are a Client's, one a table: the token endpoint makes them for one table each.
type tokens struct {
	mu      sync.Mutex
	byTable map[string]*place
}

// A place is where a table's token is kept, and where those who wait for one meet.
type place struct {
	token   *token
	fetch   *fetch
	retryAt time.Time // not before: the last refresh failed, and the old token is still good
}

// A fetch is one request to the token endpoint, for all who ask while it is under way. It ends when the last of them has
// lost patience.
type fetch struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	token   *token
	err     error
}

func newTokens() *tokens { return &tokens{byTable: map[string]*place{}} }

// get returns a token of the sink's table, and whether it was there before.
func (ts *tokens) get(ctx context.Context, s *Sink, ep endpoint) (t *token, reused bool, err error) {
	ts.mu.Lock()
	p := ts.byTable[s.table]
	if p == nil {
		p = &place{}
		ts.byTable[s.table] = p
	}
	now := time.Now()
	old := p.token
	if old != nil && !old.valid(now) {
		old = nil
	}
	if old != nil && (!old.due(now, s.cfg.refreshBuffer) || now.Before(p.retryAt)) {
		ts.mu.Unlock()
		return old, true, nil
	}
	f := p.fetch
	if f == nil {
		f = ts.begin(ctx, s, ep, p)
	}
	f.waiters++
	ts.mu.Unlock()

	// With a token that is still good, half of the time is for using it.
	wait, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok && old != nil {
		wait, cancel = context.WithDeadline(ctx, now.Add(deadline.Sub(now)/2))
	}
	defer cancel()
	select {
	case <-f.done:
		t, err = f.token, f.err
	case <-wait.Done():
		err = wait.Err()
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if p.fetch == f {
			p.fetch = nil
		}
	}
	if err != nil && old != nil && ctx.Err() == nil && p.token == old && old.valid(time.Now()) {
		left, buffer := time.Until(old.expires), s.cfg.refreshBuffer
		p.retryAt = time.Now().Add(min(max(left/2, buffer/300), max(buffer/60, time.Second)))
		return old, true, nil
	}
	return t, false, err
}

// begin asks for a token, detached from the one who asked first: others may wait for it longer. The lock is held.
func (ts *tokens) begin(ctx context.Context, s *Sink, ep endpoint, p *place) *fetch {
	f := &fetch{done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.fetch = f
	go func() {
		t, err := s.mint(ctx, ep)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		f.token, f.err = t, err
		if err == nil && !t.expires.IsZero() && p.fetch == f {
			p.token, p.retryAt = t, time.Time{}
		}
		if p.fetch == f {
			p.fetch = nil
		}
		close(f.done)
	}()
	return f
}

// forget drops the token if it is the one kept: a newer one has not been refused.
func (ts *tokens) forget(s *Sink, t *token) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if p := ts.byTable[s.table]; p != nil && p.token == t {
		p.token = nil
	}
}
