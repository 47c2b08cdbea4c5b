package consumer

import (
	"context"
	"sync"
	"time"
)

// A pacer spreads the beginnings of attempts evenly.
type pacer struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// wait returns true when it is the caller's turn, and false if ctx ends first.
func (p *pacer) wait(ctx context.Context) bool {
	p.mu.Lock()
	now := time.Now()
	turn := p.next
	if turn.Before(now) {
		turn = now
	}
	p.next = turn.Add(p.every)
	p.mu.Unlock()
	if !turn.After(now) {
		return ctx.Err() == nil
	}
	t := time.NewTimer(turn.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
