package group

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// nobody is the owner of a stream on its way to another member, in the eyes of the giver: the giver does not count the
// stream any more, and nobody can take the stream yet.
const nobody = "\x00"

// A view is the knowledge of a member about its group at the beginning of a round.
type view struct {
	me      string
	members []string          // that are alive, this one included
	streams []string          // in order
	owners  map[string]string // by stream; "" is a stream that is free
}

// A plan is the work of one member in one round: free streams to take, and streams to give away.
type plan struct {
	take []string
	give []string
}

// plan is a pure function: all members with the same view come to the same result.
//
// The share of each member is fixed first: with q streams for each and r left over, the r members with the most streams
// have a share of q+1. A member gives streams beyond its share away, and free streams go to the member with the largest
// lack. The shares add up to the number of streams. Therefore some member lacks a stream for every stream given away, and
// a stream moves once.
func (v view) plan() plan {
	// When the clock of the database jumps during a renewal, the state may hold no member, not even this one.
	if !slices.Contains(v.members, v.me) {
		return plan{}
	}
	held := make(map[string]int, len(v.members))
	for _, s := range v.streams {
		held[v.owners[s]]++
	}
	share := v.shares(held)
	var p plan
	// Half of the surplus goes in a round: 16 streams take 5 rounds. One stream a round would leave shares uneven for
	// long (46 s in place of 15 s for 16 streams). The whole surplus at once would be wrong more often: a view may be a
	// round old, and may lack a member that has just begun.
	if over := held[v.me] - share[v.me]; over > 0 {
		p.give = v.last(v.me, (over+1)/2)
	}
	for _, s := range v.streams {
		if v.owners[s] != "" {
			continue
		}
		taker := slices.MinFunc(v.members, func(a, b string) int {
			return cmp.Or(cmp.Compare(share[b]-held[b], share[a]-held[a]), compareRank(a, b))
		})
		held[taker]++
		if taker == v.me {
			p.take = append(p.take, s)
		}
	}
	return p
}

// shares returns how many streams each member should hold.
func (v view) shares(held map[string]int) map[string]int {
	fullest := slices.SortedFunc(slices.Values(v.members), func(a, b string) int {
		return cmp.Or(cmp.Compare(held[b], held[a]), compareRank(a, b))
	})
	share := make(map[string]int, len(fullest))
	each, left := len(v.streams)/len(fullest), len(v.streams)%len(fullest)
	for i, m := range fullest {
		share[m] = each
		if i < left {
			share[m]++
		}
	}
	return share
}

// last returns the last n streams of a member.
func (v view) last(member string, n int) (last []string) {
	for _, s := range slices.Backward(v.streams) {
		if v.owners[s] == member && len(last) < n {
			last = append(last, s)
		}
	}
	return last
}

// compareRank puts members in the same order in every process. The order of the names would be bad: the process with the
// first name would be the first in every group, and would work for all groups of a single stream.
func compareRank(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

func rank(member string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(member))
	return h.Sum64()
}
