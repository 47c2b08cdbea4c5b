package group

import (
	"maps"
	"slices"
)

// Hooks are functions for metrics. Any of them may be nil.
type Hooks struct {
	// MemberStarted: [Group.Each] or [Group.Process] begins, as a member of the group. state may be called at any time.
	// MemberStarted returns a function, or nil, for the moment when the member has left.
	MemberStarted func(state func() State) (ended func())
}

// A State is a member at one moment.
type State struct {
	Member  string   // its name, with what makes the name unique
	Streams []string // all streams of the group that the member knows of, in order
	Held    []string // the streams whose leases the member holds, in order
}

// Observe adds hooks. Given several times, all hooks are called, in order.
func Observe(h Hooks) Option { return func(c *config) { c.hooks = append(c.hooks, h) } }

// startHooks calls MemberStarted, and returns a function to call at the end.
func (m *member[T]) startHooks() (ended func()) {
	var all []func()
	for _, h := range m.g.cfg.hooks {
		if h.MemberStarted == nil {
			continue
		}
		if end := h.MemberStarted(m.state); end != nil {
			all = append(all, end)
		}
	}
	return func() {
		for _, f := range all {
			f()
		}
	}
}

func (m *member[T]) state() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return State{Member: m.id, Streams: slices.Clone(m.names), Held: slices.Sorted(maps.Keys(m.held))}
}
