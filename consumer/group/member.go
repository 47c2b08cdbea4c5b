package group

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
)

// idBytes is the length of the random part of a member's name: a mark and 80 random bits.
const idBytes = 1 + 16

// A member is one run of a group in this process. A member renews its leases in rounds. After each renewal the member
// plans: some streams to take, some streams to give away. For each stream, the member has a tenure with a goroutine of
// its own.
type member[T any] struct {
	g        *Group[T]
	id       string
	f        func(ctx context.Context, stream string, c *consumer.Consumer[T]) error
	log      *slog.Logger
	startLog *slog.Logger       // until the first renewal
	failed   context.CancelFunc // called after a final error, ends the life of the member
	woken    chan struct{}      // holds one token: a tenure is over
	isolated bool               // the newest renewal failed, or there was none: the others do not know of this member; only round uses the field

	goroutines sync.WaitGroup // one for each tenure, and one that lists the streams

	mu     sync.Mutex
	held   map[string]*tenure
	names  []string // of the streams, in order
	err    error    // the first final error
	ending bool     // the member leaves the group
	late   []error  // that came while the member was ending
}

func newMember[T any](g *Group[T], f func(context.Context, string, *consumer.Consumer[T]) error) *member[T] {
	id := g.cfg.member + "#" + rand.Text()[:idBytes-1]
	attrs := []any{"group", g.name, "member", id}
	return &member[T]{
		g: g, id: id, f: f, log: g.cfg.logger.With(attrs...), startLog: g.cfg.startLogger.With(attrs...),
		woken: make(chan struct{}, 1), held: make(map[string]*tenure), isolated: true,
	}
}

// run is the life of a member.
func (m *member[T]) run(ctx context.Context) error {
	life, failed := context.WithCancel(ctx)
	defer failed()
	m.failed = failed
	defer m.startHooks()()
	if m.discover(life) {
		m.rounds(life)
		m.goroutines.Wait()
		m.leave(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && len(m.late) == 0 {
		return ctx.Err()
	}
	return errors.Join(append([]error{m.err}, m.late...)...)
}

// rounds renews until life is over and no stream is held any more.
func (m *member[T]) rounds(life context.Context) {
	down := outage{log: m.startLog}
	ending := life.Done()
	for ctx := life; ; {
		first := m.round(ctx, &down)
		pause := time.NewTimer(m.pause(first))
	wait:
		for {
			select {
			case <-pause.C:
				break wait
			case <-ending:
				// Streams drain now, and their leases are renewed meanwhile.
				ending, ctx = nil, context.WithoutCancel(life)
				m.end()
			case <-m.woken:
			}
			if ending == nil && m.idle() {
				pause.Stop()
				return
			}
		}
	}
}

// pause is the time between two rounds. Up to a tenth of the pause is random: otherwise members started together would renew
// together for ever. After a first renewal (see round), the pause of this member is longer than the pause of all others. So every
// living member has renewed before this member takes streams. Otherwise this member would take streams, and would give the streams
// away soon after.
func (m *member[T]) pause(first bool) time.Duration {
	p := m.g.cfg.lease / roundsPerLease
	jitter := mrand.N(p/10 + 1)
	if first {
		return p + jitter
	}
	return p - jitter
}

// round renews the leases, and acts on the new state of the group. first means: the renewal succeeded, and was the first renewal of
// this member or the first after an outage.
func (m *member[T]) round(ctx context.Context, down *outage) (first bool) {
	renewed := m.renewable()
	begun := time.Now()
	call, cancel := context.WithTimeout(ctx, m.g.cfg.lease/roundsPerLease)
	defer cancel()
	state, err := m.g.leases.Renew(call, m.g.name, m.id, streamsOf(renewed), m.g.cfg.lease)
	first = m.isolated && err == nil
	m.isolated = err != nil
	switch {
	case err == nil:
		down.recovered(ctx)
		down.log = m.log
	case ctx.Err() != nil:
		return false
	case errors.Is(err, backend.ErrTransient):
		down.failed(ctx, err)
		return false
	default:
		m.fail(fmt.Errorf("group: %s: %w", m.g.name, err))
		return false
	}
	for _, t := range renewed {
		m.renewed(t, state, begun)
	}
	m.act(ctx, state, first)
	return first
}

// renewable returns the tenures with an acquired lease.
func (m *member[T]) renewable() []*tenure {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ts []*tenure
	for _, t := range m.held {
		if t.acquired {
			ts = append(ts, t)
		}
	}
	return ts
}

func streamsOf(ts []*tenure) []string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.stream
	}
	return names
}

// renewed prolongs a tenure, or ends it at once when another member has its lease.
func (m *member[T]) renewed(t *tenure, state lease.State, begun time.Time) {
	if state.Owners[t.stream] == m.id {
		m.prolong(t, begun)
		return
	}
	m.mu.Lock()
	lost := t.acquired // otherwise the tenure itself has released the lease meanwhile
	m.mu.Unlock()
	if lost {
		m.log.WarnContext(t.hold.Work, "group: lost the lease on a stream", "stream", t.stream, "owner", state.Owners[t.stream])
		t.hold.Kill()
	}
}

// act begins and ends tenures. After a first renewal act takes no free stream: other members that began at the same time have not
// renewed yet, and this member would take everything.
func (m *member[T]) act(ctx context.Context, state lease.State, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return
	}
	v := view{me: m.id, members: state.Members, streams: m.names, owners: make(map[string]string, len(m.names))}
	// Streams whose lease this member owns without a tenure: the release failed, or the answer to the acquisition was lost.
	var unserved []string
	for _, s := range m.names {
		v.owners[s] = state.Owners[s]
		if t := m.held[s]; t != nil {
			v.owners[s] = m.id
			if t.leaving {
				v.owners[s] = nobody
			}
		} else if v.owners[s] == m.id {
			unserved = append(unserved, s)
		}
	}
	m.dropVanishedLocked(v)
	if len(v.streams) == 0 {
		return
	}
	p := v.plan()
	if first {
		p = plan{}
	}
	for _, s := range append(unserved, p.take...) {
		t := newTenure(ctx, s)
		m.held[s] = t
		m.goroutines.Go(func() { m.serve(t) })
	}
	for _, s := range p.give {
		if t := m.held[s]; t != nil && t.acquired {
			m.log.InfoContext(ctx, "group: gives a stream away, because others have fewer", "stream", s)
			t.leaving = true
			t.hold.Stop()
		}
	}
}

// dropVanishedLocked gives back the streams that are not listed any more.
func (m *member[T]) dropVanishedLocked(v view) {
	for s, t := range m.held {
		if _, listed := v.owners[s]; !listed && !t.leaving {
			m.log.Info("group: gives a stream back, because it is not listed any more", "stream", s)
			t.leaving = true
			t.hold.Stop()
		}
	}
}

// fail ends the member with a final error. Only the first is kept.
func (m *member[T]) fail(err error) {
	m.mu.Lock()
	if m.err == nil {
		m.err = err
	}
	m.mu.Unlock()
	m.failed()
}

// end stops all streams.
func (m *member[T]) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ending = true
	for _, t := range m.held {
		t.leaving = true
		t.hold.Stop()
	}
}

// idle reports whether the member holds nothing.
func (m *member[T]) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.held) == 0
}

// wake lets rounds look again.
func (m *member[T]) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

// leave ends the membership. Without leave, the other members would wait until the membership has expired.
func (m *member[T]) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.g.cfg.drain)
	defer cancel()
	if err := m.g.leases.Leave(ctx, m.g.name, m.id); err != nil {
		m.log.WarnContext(ctx, "group: could not leave; the membership ends by itself", "err", err)
	}
}
