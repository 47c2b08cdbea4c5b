package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/producer"
)

// A world is a group of several members in one process and one bubble, whose store can be cut off from each of them.
type world struct {
	t       *testing.T
	leases  *lease.Memory
	streams map[string]*memory.Stream
	names   []string

	mu      sync.Mutex
	handled map[string][]int  // by stream, in the order in which handlers began
	busy    map[string]string // the member that handles a record of the stream now
	both    []string          // streams that two members handled at once
}

func newWorld(t *testing.T, streams, records int) *world {
	w := &world{t: t, leases: lease.NewMemory(), streams: make(map[string]*memory.Stream), handled: make(map[string][]int), busy: make(map[string]string)}
	for i := range streams {
		w.add(fmt.Sprintf("s%02d", i), records)
	}
	return w
}

// add makes a stream that holds 1, 2, 3, …
func (w *world) add(name string, records int) {
	w.t.Helper()
	s := memory.New()
	p, err := producer.New(w.t.Context(), s, codec.JSON[int]())
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range records {
		if _, err := p.Enqueue(w.t.Context(), i+1); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.streams[name] = s
	w.names = append(w.names, name)
}

func (w *world) open(name string) backend.Source { return w.streams[name] }

// A line is one member's line to the store.
type line struct {
	lease.Store
	cut            atomic.Bool
	acquired       atomic.Int64
	releasesToFail atomic.Int64
	request, reply atomic.Int64 // how long a renewal is on its way, and its reply
	loseReplies    atomic.Bool
}

// mend makes the line good again.
func (l *line) mend() {
	l.cut.Store(false)
	l.loseReplies.Store(false)
	l.request.Store(0)
	l.reply.Store(0)
}

// travel waits for d, or until ctx is over.
func travel(ctx context.Context, d int64) error {
	select {
	case <-time.After(time.Duration(d)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
}

var errCut = fmt.Errorf("%w: the line is cut", backend.ErrTransient)

func (l *line) Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
	if l.cut.Load() {
		return checkpoint.Checkpoint{}, false, errCut
	}
	cp, ok, err := l.Store.Acquire(ctx, group, member, stream, ttl)
	if ok {
		l.acquired.Add(1)
	}
	return cp, ok, err
}

func (l *line) Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (lease.State, error) {
	if l.cut.Load() {
		return lease.State{}, errCut
	}
	if err := travel(ctx, l.request.Load()); err != nil {
		return lease.State{}, err
	}
	state, err := l.Store.Renew(ctx, group, member, streams, ttl)
	if late := travel(ctx, l.reply.Load()); late != nil {
		return lease.State{}, late
	}
	if l.loseReplies.Load() {
		return lease.State{}, errCut
	}
	return state, err
}

func (l *line) Release(ctx context.Context, group, member, stream string) error {
	if l.cut.Load() {
		return errCut
	}
	if l.releasesToFail.Load() > 0 {
		l.releasesToFail.Add(-1)
		return errCut
	}
	return l.Store.Release(ctx, group, member, stream)
}

func (l *line) Leave(ctx context.Context, group, member string) error {
	if l.cut.Load() {
		return errCut
	}
	return l.Store.Leave(ctx, group, member)
}

func (l *line) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	if l.cut.Load() {
		return errCut
	}
	return l.Store.Save(ctx, key, cp)
}

// A process is a member in the world.
type process struct {
	w    *world
	line *line
	name string
	end  context.CancelFunc
	err  chan error // what Process or Each returned
}

// start runs a member whose handlers take d for each record.
func (w *world) start(name string, d time.Duration, opts ...Option) *process {
	return w.startWith(name, Fixed(w.open, w.names...), func(ctx context.Context, stream string, m consumer.Message[int]) error {
		return w.handle(ctx, name, stream, m.Value, d)
	}, opts...)
}

func (w *world) startWith(name string, streams Streams, h func(context.Context, string, consumer.Message[int]) error, opts ...Option) *process {
	return w.run(name, streams, func(ctx context.Context, g *Group[int]) error { return g.Process(ctx, h) }, opts...)
}

func (w *world) run(name string, streams Streams, f func(context.Context, *Group[int]) error, opts ...Option) *process {
	w.t.Helper()
	p := &process{w: w, line: &line{Store: w.leases}, name: name, err: make(chan error, 1)}
	g, err := New(p.line, "billing", streams, codec.JSON[int](), append(opts, Member(name))...)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, end := context.WithCancel(w.t.Context())
	p.end = end
	go func() { p.err <- f(ctx, g) }()
	return p
}

// handle does nothing for d, and notes who handles what.
func (w *world) handle(ctx context.Context, member, stream string, value int, d time.Duration) error {
	w.mu.Lock()
	if other := w.busy[stream]; other != "" && other != member {
		w.both = append(w.both, fmt.Sprintf("%s: %s and %s", stream, other, member))
	}
	w.busy[stream] = member
	w.handled[stream] = append(w.handled[stream], value)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		if w.busy[stream] == member {
			w.busy[stream] = ""
		}
		w.mu.Unlock()
	}()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends a member and waits for it.
func (p *process) stop() error {
	p.end()
	return <-p.err
}

// kill ends a member as a power cut does: it tells the store nothing.
func (p *process) kill() {
	p.line.cut.Store(true)
	p.end()
	<-p.err
}

// holds returns how many streams the members hold, by their names.
func (w *world) holds() map[string]int {
	w.t.Helper()
	state, err := w.leases.Members(w.t.Context(), "billing")
	if err != nil {
		w.t.Fatal(err)
	}
	held := make(map[string]int)
	for _, m := range state.Members {
		held[nameOf(m)] += 0
	}
	for _, m := range state.Owners {
		held[nameOf(m)]++
	}
	return held
}

func nameOf(member string) string {
	name, _, _ := strings.Cut(member, "#")
	return name
}

// until lets time go by until the condition holds, and returns how long that took. It fails after limit.
func (w *world) until(what string, limit time.Duration, f func() bool) time.Duration {
	w.t.Helper()
	begun := time.Now()
	for {
		synctest.Wait()
		if f() {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			w.t.Fatalf("not after %v: %s; held: %v", limit, what, w.holds())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// shared says whether these members share all streams evenly.
func (w *world) shared(members ...string) func() bool {
	return func() bool {
		held := w.holds()
		sum, least, most := 0, len(w.names), 0
		for _, m := range members {
			n := held[m]
			sum, least, most = sum+n, min(least, n), max(most, n)
		}
		return sum == len(w.names) && most-least <= 1 && len(held) == len(members)
	}
}

// allHandled says whether every record of every stream was handled.
func (w *world) allHandled(records int) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, name := range w.names {
			if len(slices.Compact(slices.Sorted(slices.Values(w.handled[name])))) != records {
				return false
			}
		}
		return true
	}
}

// repeated returns how many records were handled more than once.
func (w *world) repeated() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, values := range w.handled {
		n += len(values) - len(slices.Compact(slices.Sorted(slices.Values(values))))
	}
	return n
}

func (w *world) neverBoth() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.both) > 0 {
		w.t.Errorf("two members handled one stream at once: %v", w.both)
	}
}
