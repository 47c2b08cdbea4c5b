// Package fault makes servers fail on purpose, at a chosen moment. All servers of this module use this package, and
// describe a fault with the same words.
//
// A server asks Strike at each moment at which something may go wrong. The effect of a fault is a type of the server,
// because each protocol fails in its own ways. But the same effect has the same name in every server:
//
//	Drop()       breaks the connection; unsent bytes are lost
//	Delay(d)     waits, and goes on
//	Stall()      says nothing more until the client gives up or the server is closed
//	CutAfter(n)  breaks the connection after n more bytes
//	Status(…)    refuses, with a status of the protocol
package fault

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Always, as the Times of a Fault, makes the fault strike until it is removed.
const Always = -1

// A Fault makes something go wrong on purpose. O is the type of the classes of requests, combined with |; S is the type
// of the moments in the handling of a request; D is the type of the effects.
type Fault[O ~uint16, S comparable, D any] struct {
	Op    O      // the classes of requests; 0 is every class
	On    string // the stream or table; "" is every one
	Stage S      // the moment
	Skip  int    // how many such moments pass before the fault strikes
	Times int    // how often the fault strikes: 0 is once, Always is for ever
	Do    D      // what goes wrong
}

// A Set is the faults of one server. Any goroutine may call its methods. The zero Set has no faults.
type Set[O ~uint16, S comparable, D any] struct {
	any    atomic.Bool  // whether list has an entry, so that a server without faults takes no lock
	struck atomic.Int64 // how often any fault has struck, removed faults too
	mu     sync.Mutex   // guards list, and the counters of its entries
	list   []*entry[O, S, D]
}

// Struck returns how often the faults of the set have struck. Faults that were removed count too.
func (s *Set[O, S, D]) Struck() int64 { return s.struck.Load() }

type entry[O ~uint16, S comparable, D any] struct {
	Fault[O, S, D]
	seen, hits int
}

// An Injection is a fault at work.
type Injection struct {
	hits   func() int
	remove func()
}

// Hits returns how often the fault has struck.
func (in *Injection) Hits() int { return in.hits() }

// Remove ends the fault. A request held up by the fault stays held up.
func (in *Injection) Remove() { in.remove() }

// Inject puts f to work.
func (s *Set[O, S, D]) Inject(f Fault[O, S, D]) *Injection {
	if f.Times == 0 {
		f.Times = 1
	}
	e := &entry[O, S, D]{Fault: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e)
	s.any.Store(true)
	return &Injection{
		hits: func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return e.hits
		},
		remove: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.list = slices.DeleteFunc(s.list, func(other *entry[O, S, D]) bool { return other == e })
			s.any.Store(len(s.list) > 0)
		},
	}
}

// Clear removes all faults.
func (s *Set[O, S, D]) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = nil
	s.any.Store(false)
}

// Strike returns the effect of a fault at a moment of a request, if a fault strikes. If several faults fit, the first
// injected fault strikes. The moment counts for the Skip of the other faults as well.
func (s *Set[O, S, D]) Strike(op O, on string, stage S) (do D, struck bool) {
	if !s.any.Load() {
		return do, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		switch {
		case e.Stage != stage || e.Op != 0 && e.Op&op == 0 || e.On != "" && e.On != on:
		case e.seen < e.Skip:
			e.seen++
		case struck || e.Times >= 0 && e.hits >= e.Times:
		default:
			e.hits++
			do, struck = e.Do, true
		}
	}
	if struck {
		s.struck.Add(1)
	}
	return do, struck
}
