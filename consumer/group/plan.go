package group

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// nobody is the owner of a stream that is being given away, in the eyes of the member that gives it away: the member does
// not count it any more, and nobody can take it yet.
const nobody = "\x00"

// A view is what a member knows about its group when it plans a round.
type view struct {
	me      string
	members []string          // that are alive, this one included
	streams []string          // in order
	owners  map[string]string // by stream; "" is a stream that is free
}

// A plan is what one member does in one round: it takes streams that are free, and gives at most one away.
type plan struct {
	take []string
	give string
}

// plan is a pure function, so that all members with the same view come to the same result.
//
// The share of each member is fixed first: with q streams for each and r left over, the r members that hold the most
// have a share of q+1. Held streams beyond the share are given away, and free streams go where most is missing. Because
// the shares add up to the number of streams, every stream that is given away has a member that lacks it, and it moves
// once.
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
	if held[v.me] > share[v.me] {
		p.give = v.last(v.me)
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

// last returns the last stream of a member.
func (v view) last(member string) string {
	for _, s := range slices.Backward(v.streams) {
		if v.owners[s] == member {
			return s
		}
	}
	return ""
}

// compareRank puts members in an order that all members agree on. It is not the order of the names: the process with the
// first name would be the first in every group, and would work for all groups of a single stream.
func compareRank(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

func rank(member string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(member))
	return h.Sum64()
}
