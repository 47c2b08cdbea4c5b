package backendtest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// script is the part that a FlakySink and a FlakySource share: the faults, which are asked about every call, and the counters.
type script struct {
	faults []Fault

	mu       sync.Mutex
	calls    map[Op]int     // number of calls
	injected map[string]int // number of effects by name
}

func newScript(faults []Fault) *script {
	return &script{faults: faults, calls: make(map[Op]int), injected: make(map[string]int)}
}

// Calls returns how often op was called. Calls that went wrong count too.
func (s *script) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Injected returns how often each Effect happened. The key is the name of the function that makes the Effect, for example
// "DropAfter".
func (s *script) Injected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.injected)
}

// effectOf counts c, asks the faults about c, and returns the effect on c. effectOf sets c.N and c.InSession. inSession is the
// counter of the session; the lock of the script guards the counter. Faults run with no lock held, because a fault may wait.
func (s *script) effectOf(c Call, inSession *int) Effect {
	s.mu.Lock()
	s.calls[c.Op]++
	c.N = s.calls[c.Op]
	*inSession++
	c.InSession = *inSession
	s.mu.Unlock()

	var sum Effect
	var names []kind
	for _, f := range s.faults {
		// All delays add up. Of the other effects only the first happens.
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

// pause makes the waits that e asks for before the call: a delay, or a wait without end for Hang. The end of the session (ended)
// cuts the wait short. When ctx ends first, pause returns the error of ctx, otherwise nil.
func pause(ctx context.Context, e Effect, ended <-chan struct{}) error {
	var due <-chan time.Time
	switch {
	case e.kind == "Hang": // no timer, because a fake clock would jump to a timer at once
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
