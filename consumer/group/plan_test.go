package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPlan(t *testing.T) {
	names := func(n int) []string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprintf("s%02d", i)
		}
		return s
	}
	for _, c := range []struct {
		name    string
		streams int
		members []string
		owners  map[string]string
		takes   map[string]int // by member
		gives   []string       // members that give
	}{
		{"one member takes all", 3, []string{"a"}, nil, map[string]int{"a": 3}, nil},
		{"all free streams are shared", 6, []string{"a", "b", "c"}, nil, map[string]int{"a": 2, "b": 2, "c": 2}, nil},
		{"no streams", 0, []string{"a"}, nil, nil, nil},
		{"a standby takes nothing", 1, []string{"a", "b", "c"}, map[string]string{"s00": "b"}, nil, nil},
		{"the fuller gives to the emptier", 4, []string{"a", "b"}, map[string]string{"s00": "a", "s01": "a", "s02": "a", "s03": "b"}, nil, []string{"a"}},
		{"a difference of one is even", 3, []string{"a", "b"}, map[string]string{"s00": "a", "s01": "a", "s02": "b"}, nil, nil},
		{"the emptier takes what is free", 4, []string{"a", "b"}, map[string]string{"s00": "a", "s01": "a"}, map[string]int{"b": 2}, nil},
		{"streams of a dead member are not free", 3, []string{"a"}, map[string]string{"s00": "dead", "s01": "dead"}, map[string]int{"a": 1}, nil},
		{"of two that are full one gives", 4, []string{"a", "b", "c"}, map[string]string{"s00": "a", "s01": "a", "s02": "b", "s03": "b"}, nil, []string{"one of a, b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			takes, gives := make(map[string]int), []string(nil)
			for _, m := range c.members {
				p := view{m, c.members, names(c.streams), c.owners}.plan()
				if len(p.take) > 0 {
					takes[m] = len(p.take)
				}
				if len(p.give) > 0 {
					gives = append(gives, m)
				}
			}
			if c.gives != nil && c.gives[0] == "one of a, b" && len(gives) == 1 && (gives[0] == "a" || gives[0] == "b") {
				gives = c.gives
			}
			if !maps.Equal(takes, c.takes) || !slices.Equal(gives, c.gives) {
				t.Errorf("takes %v, gives %v; want %v, %v", takes, gives, c.takes, c.gives)
			}
		})
	}
}

// simulation is a group without processes: members plan with views that are out of date by up to a round.
type simulation struct {
	streams []string
	members []string
	owners  map[string]string
	moves   int
}

// round lets every member plan once, in any order. Before a member acts, the others may have acted.
func (s *simulation) round(r *rand.Rand) {
	stale := maps.Clone(s.owners)
	for _, i := range r.Perm(len(s.members)) {
		seen := s.owners
		if r.IntN(2) == 0 {
			seen = stale
		}
		me := s.members[i]
		p := view{me, s.members, s.streams, maps.Clone(seen)}.plan()
		for _, name := range p.take {
			if s.owners[name] == "" { // the store gives a lease once
				s.owners[name] = me
				s.moves++
			}
		}
		for _, name := range p.give {
			if s.owners[name] == me {
				s.owners[name] = ""
			}
		}
	}
}

func (s *simulation) even() bool {
	held := make(map[string]int)
	for _, name := range s.streams {
		held[s.owners[name]]++
	}
	least, most := len(s.streams), 0
	for _, m := range s.members {
		least, most = min(least, held[m]), max(most, held[m])
	}
	return held[""] == 0 && most-least <= 1
}

// roundsUntilEven is enough for 40 streams, even if one member has all: a member gives half of its surplus away in a round,
// and views may be a round old.
const roundsUntilEven = 20

// TestSharesConverge: from any owners, after a number of rounds that is bounded, the shares differ by one at most, and
// then nothing moves any more.
func TestSharesConverge(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := &simulation{owners: make(map[string]string)}
		for i := range 1 + r.IntN(8) {
			s.members = append(s.members, fmt.Sprintf("m%d#%d", i, r.Uint32()))
		}
		for i := range r.IntN(40) {
			s.streams = append(s.streams, fmt.Sprintf("s%02d", i))
			if r.IntN(4) > 0 {
				s.owners[s.streams[i]] = s.members[r.IntN(1+r.IntN(len(s.members)))]
			}
		}
		for range roundsUntilEven {
			s.round(r)
		}
		if !s.even() {
			t.Fatalf("seed %d: %d members, owners %v", seed, len(s.members), s.owners)
		}
		moves := s.moves
		for range 20 {
			s.round(r)
		}
		if s.moves != moves {
			t.Fatalf("seed %d: streams move although the shares are even", seed)
		}
	}
}

// TestNoMoveTooMany: when all views are up to date, each stream that must move moves once.
func TestNoMoveTooMany(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		v := view{owners: make(map[string]string)}
		for i := range 1 + r.IntN(6) {
			v.members = append(v.members, fmt.Sprintf("m%d#%d", i, r.Uint32()))
		}
		for i := range r.IntN(30) {
			v.streams = append(v.streams, fmt.Sprintf("s%02d", i))
			v.owners[v.streams[i]] = v.members[r.IntN(1+r.IntN(len(v.members)))]
		}
		held := make(map[string]int)
		for _, o := range v.owners {
			held[o]++
		}
		need := 0
		for m, share := range v.shares(held) {
			need += max(0, held[m]-share)
		}
		s := &simulation{streams: v.streams, members: v.members, owners: v.owners}
		for range roundsUntilEven {
			for _, i := range r.Perm(len(s.members)) {
				one := simulation{s.streams, s.members, s.owners, 0}
				p := view{one.members[i], one.members, one.streams, one.owners}.plan()
				for _, name := range p.take {
					s.owners[name] = one.members[i]
					s.moves++
				}
				for _, name := range p.give {
					s.owners[name] = ""
				}
			}
		}
		if s.moves != need || !s.even() {
			t.Fatalf("seed %d: %d moves, want %d; even: %v", seed, s.moves, need, s.even())
		}
	}
}

// A second member has its half of 32 streams after a few rounds, because a member gives half of its surplus away in a round.
func TestSurplusGoesInAFewRounds(t *testing.T) {
	s := &simulation{members: []string{"a", "b"}, owners: make(map[string]string)}
	for i := range 32 {
		s.streams = append(s.streams, fmt.Sprintf("s%02d", i))
		s.owners[s.streams[i]] = "a"
	}
	rounds := 0
	for ; !s.even(); rounds++ {
		for _, me := range s.members {
			p := view{me, s.members, s.streams, s.owners}.plan()
			for _, name := range p.give {
				s.owners[name] = ""
			}
			for _, name := range p.take {
				s.owners[name] = me
			}
		}
	}
	if rounds != 5 { // 8, 4, 2, 1 and 1 streams
		t.Errorf("%d rounds, want 5", rounds)
	}
}

func TestMemberThatTheStateDoesNotHoldPlansNothing(t *testing.T) {
	for _, members := range [][]string{nil, {"b"}} {
		v := view{me: "a", members: members, streams: []string{"s0", "s1"}, owners: map[string]string{"s0": "a"}}
		if p := v.plan(); len(p.take) > 0 || len(p.give) > 0 {
			t.Errorf("%v: %v", members, p)
		}
	}
}
