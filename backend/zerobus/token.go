package zerobus

import (
	"context"
	"sync"
	"time"
)

// A token lets its owner write to one table for a while.
type token struct {
	value   string
	expires time.Time // zero: the token is used once
	life    time.Duration
}

// due reports whether it is time to replace t: buffer before the end, but never in the first half of its life.
func (t *token) due(now time.Time, buffer time.Duration) bool {
	return t.expires.Sub(now) < min(buffer, t.life/2)
}

func (t *token) valid(now time.Time) bool { return now.Before(t.expires) }

// tokens keeps one token a table, because the token endpoint issues tokens for one table each.
type tokens struct {
	mint   func(ctx context.Context, table string) (*token, error)
	buffer time.Duration // how long before its end a token is replaced

	mu    sync.Mutex
	slots map[string]*slot // by table
}

// A slot keeps the token of one table.
type slot struct {
	token   *token
	fetch   *fetch    // the request under way
	retryAt time.Time // no request before: the last one failed, and the old token is still valid
}

// A fetch is one request to the token endpoint, for all callers that wait while it is under way. It ends when the last of
// them stops waiting.
type fetch struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	token   *token
	err     error
}

func newTokens(mint func(context.Context, string) (*token, error), buffer time.Duration) *tokens {
	return &tokens{mint: mint, buffer: buffer, slots: map[string]*slot{}}
}

// get returns a token of the table. cached says that the token was not issued for this call.
func (ts *tokens) get(ctx context.Context, table string) (t *token, cached bool, err error) {
	ts.mu.Lock()
	s := ts.slotLocked(table)
	now := time.Now()
	old := s.token
	if old != nil && !old.valid(now) {
		old = nil
	}
	if old != nil && (!old.due(now, ts.buffer) || now.Before(s.retryAt)) {
		ts.mu.Unlock()
		return old, true, nil
	}
	f := s.fetch
	if f == nil {
		f = ts.beginLocked(ctx, table, s)
	}
	f.waiters++
	ts.mu.Unlock()

	t, err = f.wait(ctx, old != nil)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	s.leaveLocked(f)
	if err != nil && ctx.Err() == nil && old != nil && s.token == old && old.valid(time.Now()) {
		left := time.Until(old.expires)
		s.retryAt = time.Now().Add(min(max(left/2, ts.buffer/300), max(ts.buffer/60, time.Second)))
		return old, true, nil
	}
	return t, false, err
}

func (ts *tokens) slotLocked(table string) *slot {
	s := ts.slots[table]
	if s == nil {
		s = &slot{}
		ts.slots[table] = s
	}
	return s
}

// beginLocked asks for a token. The request does not end with ctx: other callers may wait longer than the first one.
func (ts *tokens) beginLocked(ctx context.Context, table string, s *slot) *fetch {
	f := &fetch{done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.fetch = f
	go func() {
		t, err := ts.mint(ctx, table)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		f.token, f.err = t, err
		if s.fetch == f {
			s.fetch = nil
			if err == nil && !t.expires.IsZero() {
				s.token, s.retryAt = t, time.Time{}
			}
		}
		close(f.done)
	}()
	return f
}

// wait waits for the token until ctx ends. A caller with an old token waits for half of its time only, because the old token
// needs the other half.
func (f *fetch) wait(ctx context.Context, hasOld bool) (*token, error) {
	if deadline, ok := ctx.Deadline(); ok && hasOld {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// leaveLocked is called when a caller stops waiting.
func (s *slot) leaveLocked(f *fetch) {
	f.waiters--
	if f.waiters > 0 {
		return
	}
	f.cancel()
	if s.fetch == f {
		s.fetch = nil
	}
}

// forget drops the token of the table if it is t. A newer token was not refused.
func (ts *tokens) forget(table string, t *token) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if s := ts.slots[table]; s != nil && s.token == t {
		s.token = nil
	}
}

// clear drops all tokens.
func (ts *tokens) clear() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	clear(ts.slots)
}
