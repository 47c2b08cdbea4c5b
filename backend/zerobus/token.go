package zerobus

import (
	"context"
	"sync"
	"time"
)

// A token lets its owner write to a table for a while.
type token struct {
	value   string
	expires time.Time // zero: the token is used once
	life    time.Duration
}

// due reports whether it is time to replace t: buffer before the end, but never in the first half of its life. Otherwise a
// token that lives for less than buffer would be replaced for each stream.
func (t *token) due(now time.Time, buffer time.Duration) bool {
	return t.expires.Sub(now) < min(buffer, t.life/2)
}

func (t *token) valid(now time.Time) bool { return now.Before(t.expires) }

// tokens keeps a token for each table, because the token endpoint issues a token for a single table. A token lives for about
// an hour, and a stream for 15 minutes. Without the cache every new stream would wait for the endpoint, and a program with
// many tables would meet the endpoint's limit on requests (429).
type tokens struct {
	mint   func(ctx context.Context, table string) (*token, error)
	buffer time.Duration // how long before its end a token is replaced

	mu    sync.Mutex
	slots map[string]*slot // by table
}

// A slot keeps the token of a table.
type slot struct {
	token   *token
	fetch   *fetch    // the request under way; nil if there is no request
	retryAt time.Time // no request before, because the last request failed and the old token is still valid
}

// A fetch is a request to the token endpoint. All callers who need the token wait for the same fetch: a program that opens a
// hundred streams at once must not ask a hundred times. When the last caller stops waiting, the fetch is cancelled.
type fetch struct {
	done    chan struct{} // closed when token and err are set
	cancel  context.CancelFunc
	waiters int // under the lock of tokens
	token   *token
	err     error
}

func newTokens(mint func(context.Context, string) (*token, error), buffer time.Duration) *tokens {
	return &tokens{mint: mint, buffer: buffer, slots: map[string]*slot{}}
}

// get returns a token of the table: the kept token while it is fresh, and otherwise the token of a fetch. If the fetch fails
// and the kept token is still valid, get returns the kept token, and asks again only after a while. cached says that the
// token may be old, and that the service may refuse the token although a new token would do.
func (ts *tokens) get(ctx context.Context, table string) (t *token, cached bool, err error) {
	ts.mu.Lock()
	s := ts.slotLocked(table)
	now := time.Now()
	// A token is replaced in two steps: from some time before its end on, an opening asks for a new token, and uses the old
	// token if that fails. After its end the old token is useless, and the opening fails with the endpoint's error.
	old := s.token
	if old != nil && !old.valid(now) {
		old = nil // from here on, old is a token that can still be used
	}
	// A token that is due is used once more while no request may be made.
	if old != nil && (!old.due(now, ts.buffer) || now.Before(s.retryAt)) {
		ts.mu.Unlock()
		return old, true, nil
	}
	f := s.fetch
	if f == nil {
		f = ts.beginLocked(ctx, table, s)
	}
	// The count changes under the same lock under which leaveLocked compares it with 0. Otherwise the last caller
	// could cancel a fetch that a new caller has just joined.
	f.waiters++
	ts.mu.Unlock()

	// The lock is not held here: callers for other tables must not wait for this request.
	t, err = f.wait(ctx, old != nil)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	s.leaveLocked(f)
	// If the service has refused the old token meanwhile, forget has dropped it from the slot, and we must not use it.
	if err != nil && ctx.Err() == nil && old != nil && s.token == old && old.valid(time.Now()) {
		// The endpoint is in trouble, and the old token still does. We ask again after half of the time that is left, but
		// not more often than a token endpoint in trouble can bear: with the default buffer of 5 minutes the next request
		// comes after 1 to 5 s.
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

// beginLocked asks for a token. The request does not end with ctx: other callers may wait longer than the first caller.
func (ts *tokens) beginLocked(ctx context.Context, table string, s *slot) *fetch {
	f := &fetch{done: make(chan struct{})}
	// The values of ctx stay, for a transport that looks for them.
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.fetch = f
	go func() {
		t, err := ts.mint(ctx, table)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		f.token, f.err = t, err
		if s.fetch == f { // otherwise all callers have left, and the token may be newer
			s.fetch = nil
			// A token without a lifetime may have ended by the next opening, so only the callers of this fetch get it.
			if err == nil && !t.expires.IsZero() {
				s.token, s.retryAt = t, time.Time{}
			}
		}
		close(f.done)
	}()
	return f
}

// wait waits for the token until ctx ends. The fetch may go on after that for other callers. A caller with an old token
// waits for half of its time only, because the old token needs the other half.
func (f *fetch) wait(ctx context.Context, hasOld bool) (*token, error) {
	// Timeout gives every opening a deadline.
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

// leaveLocked is called when a caller stops waiting. The last caller cancels the request, because nobody wants its token.
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

// forget drops t, which the service has refused. The next opening then asks for a new token. A newer token stays, because
// the service has not seen the newer token.
func (ts *tokens) forget(table string, t *token) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if s := ts.slots[table]; s != nil && s.token == t {
		s.token = nil
	}
}

// clear drops all tokens. A fetch that is under way then ends in a slot that nobody looks at.
func (ts *tokens) clear() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	clear(ts.slots)
}
