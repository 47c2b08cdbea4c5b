package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// Memory is a [Store] in memory, for tests. Its content is gone when the process ends. Many goroutines may use a Memory
// at once.
type Memory struct {
	*checkpoint.Memory

	mu     sync.Mutex
	shift  time.Duration
	groups map[string]*memoryGroup
}

type memoryGroup struct {
	members map[string]time.Time // until when each is alive
	leases  map[string]memoryLease
}

type memoryLease struct {
	owner string
	until time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{Memory: checkpoint.NewMemory(), groups: make(map[string]*memoryGroup)}
}

// Shift moves the clock of the store by d, as an operator does who sets the clock of a database.
func (m *Memory) Shift(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shift += d
}

// Acquire implements [Store].
func (m *Memory) Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (cp checkpoint.Checkpoint, ok bool, err error) {
	g, now, err := m.begin(ctx, group, Check(group, member, stream), CheckTTL(ttl))
	if err != nil {
		return cp, false, failed("acquire", group, err)
	}
	defer m.mu.Unlock()
	if l, held := g.leases[stream]; held && l.owner != member && l.until.After(now) {
		return cp, false, nil
	}
	if cp, err = m.Claim(ctx, Key(group, stream)); err != nil {
		return cp, false, failed("acquire", group, err)
	}
	g.leases[stream] = memoryLease{member, now.Add(ttl)}
	return cp, true, nil
}

// Renew implements [Store].
func (m *Memory) Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (State, error) {
	g, now, err := m.begin(ctx, group, Check(group, member, streams...), CheckTTL(ttl))
	if err != nil {
		return State{}, failed("renew", group, err)
	}
	defer m.mu.Unlock()
	g.members[member] = now.Add(ttl)
	for _, s := range streams {
		if g.leases[s].owner == member {
			g.leases[s] = memoryLease{member, now.Add(ttl)}
		}
	}
	return g.state(now), nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, group, member, stream string) error {
	g, _, err := m.begin(ctx, group, Check(group, member, stream))
	if err != nil {
		return failed("release", group, err)
	}
	defer m.mu.Unlock()
	if g.leases[stream].owner == member {
		delete(g.leases, stream)
	}
	return nil
}

// Leave implements [Store].
func (m *Memory) Leave(ctx context.Context, group, member string) error {
	g, _, err := m.begin(ctx, group, Check(group, member))
	if err != nil {
		return failed("leave", group, err)
	}
	defer m.mu.Unlock()
	delete(g.members, member)
	maps.DeleteFunc(g.leases, func(_ string, l memoryLease) bool { return l.owner == member })
	return nil
}

// Members implements [Store].
func (m *Memory) Members(ctx context.Context, group string) (State, error) {
	g, now, err := m.begin(ctx, group, CheckGroup(group))
	if err != nil {
		return State{}, failed("members", group, err)
	}
	defer m.mu.Unlock()
	return g.state(now), nil
}

// begin returns the group and the time of the store, with the lock held. After an error the lock is not held.
func (m *Memory) begin(ctx context.Context, group string, refused ...error) (*memoryGroup, time.Time, error) {
	for _, err := range refused {
		if err != nil {
			return nil, time.Time{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	m.mu.Lock()
	g := m.groups[group]
	if g == nil {
		g = &memoryGroup{members: make(map[string]time.Time), leases: make(map[string]memoryLease)}
		m.groups[group] = g
	}
	return g, time.Now().Add(m.shift), nil
}

func (g *memoryGroup) state(now time.Time) State {
	s := State{Owners: make(map[string]string)}
	for member, until := range g.members {
		if until.After(now) {
			s.Members = append(s.Members, member)
		}
	}
	slices.Sort(s.Members)
	for stream, l := range g.leases {
		if l.until.After(now) {
			s.Owners[stream] = l.owner
		}
	}
	return s
}

func failed(op, group string, err error) error {
	return fmt.Errorf("lease: %s %.64q: %w", op, group, err)
}
