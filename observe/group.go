package observe

import (
	"slices"
	"sync"

	"github.com/headrace/headrace/consumer/group"
)

// A Group holds the numbers of the members of a group in this process. Members in other processes do not count.
type Group struct {
	Name    string
	Members int      // in this process
	Streams int      // of the whole group, as far as a member of this process knows
	Held    []string // streams whose leases a member of this process holds, in order
}

type groupMeter struct {
	name string

	mu   sync.Mutex
	live map[*member]struct{}
}

// A member is a live member of a group.
type member struct{ state func() group.State }

// Group returns an option for [group.New]. The option shows the group under the given name.
func (r *Registry) Group(name string) group.Option {
	m := meter(r, r.groups, name, func() *groupMeter { return &groupMeter{name: name, live: make(map[*member]struct{})} })
	return group.Observe(group.Hooks{MemberStarted: m.started})
}

func (m *groupMeter) started(state func() group.State) (ended func()) {
	self := &member{state}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[self] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.live, self)
	}
}

func (m *groupMeter) snapshot() Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := Group{Name: m.name, Members: len(m.live)}
	for l := range m.live {
		now := l.state()
		g.Streams = max(g.Streams, len(now.Streams))
		g.Held = append(g.Held, now.Held...)
	}
	slices.Sort(g.Held)
	return g
}
