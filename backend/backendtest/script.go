package backendtest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// script is what a flaky sink and a flaky source share: the faults, asked call by call, and the counters.
type script struct {
	faults []Fault

	mu       sync.Mutex
	calls    map[Op]int
	injected map[string]int
}

func newScript(faults []Fault) *script {
	return &script{faults: faults, calls: make(map[Op]int), injected: make(map[string]int)}
}

// Calls tells how often op was called, calls that went wrong included.
func (s *script) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Injected tells how often each Effect happened, by the name of the function that makes it, such as "DropAfter".
func (s *script) Injected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.injected)
}

// decide counts c and asks the faults about it. c.N and c.InSession are filled in here; inSession is the counter of the
// session, guarded by the script.
func (s *script) decide(c Call, inSession *int) Effect {
	s.mu.Lock()
	s.calls[c.Op]++
	c.N = s.calls[c.Op]
	*inSession++
	c.InSession = *inSession
	s.mu.Unlock()

	var sum Effect
	var names []kind
	for _, f := range s.faults {
		e := f(c)
		switch {
		case e.kind == "":
			continue
		case !e.fits(c.Op):
			panic(fmt.Sprintf("backendtest: %s cannot happen on %s", e.kind, c.Op))
		case e.kind == "Delay":
			sum.delay += e.delay
		case sum.kind == "":
			e.delay = sum.delay
			sum = e
		default:
			continue
		}
		names = append(names, e.kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.injected[string(name)]++
	}
	return sum
}

// pause waits for what e asks before the call, and returns ctx's error or nil; ended cuts it short too.
func pause(ctx context.Context, e Effect, ended <-chan struct{}) error {
	var due <-chan time.Time
	switch {
	case e.kind == "Hang": // no timer: a fake clock must not run away over it
	case e.delay > 0:
		t := time.NewTimer(e.delay)
		defer t.Stop()
		due = t.C
	default:
		return nil
	}
	select {
	case <-due:
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
