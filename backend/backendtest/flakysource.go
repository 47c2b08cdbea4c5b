package backendtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// A FlakySource is a [backend.Source] in front of another one, on which things go wrong as told:
//
//	source := backendtest.NewFlakySource(stream,
//		backendtest.Nth(backendtest.OnOpenReader, 1, backendtest.Fail(backend.ErrTransient)),
//		backendtest.Every(backendtest.OnRead, 3, backendtest.Truncate(2)), // cut in the middle of a response
//	)
//	c, err := consumer.New(source, codec.JSON[Order]())
//
// For a stream that is flaky both ways, make a FlakySink of it too.
type FlakySource struct {
	*script
	source backend.Source
	live   live[*flakyReader]
}

// NewFlakySource puts faults in front of source.
func NewFlakySource(source backend.Source, faults ...Fault) *FlakySource {
	return &FlakySource{script: newScript(faults), source: source}
}

// Break drops all connections there are at this moment: every reader fails with err (nil: [backend.ErrTransient]).
func (f *FlakySource) Break(err error) {
	for _, r := range f.live.all() {
		r.die(refused("connection", err))
	}
}

// OpenReader starts reading at from.
func (f *FlakySource) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	number := f.live.number()
	e := f.decide(Call{Op: OnOpenReader, Session: number, From: from}, new(int))
	if err := pause(ctx, e, nil); err != nil {
		return nil, fmt.Errorf("flaky: open reader: %w: %w", backend.ErrTransient, err)
	}
	if e.kind == "Fail" {
		return nil, refused("open reader", e.err)
	}
	below, err := f.source.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	r := &flakyReader{flaky: f, below: below, number: number, dead: make(chan struct{}), abort: func() {}}
	f.live.add(r)
	if e.kind == "Lifetime" {
		over := func() { r.die(refused("reader", e.err)) }
		if e.life <= 0 {
			over()
		} else {
			r.timer = time.AfterFunc(e.life, over)
		}
	}
	return r, nil
}

type flakyReader struct {
	flaky  *FlakySource
	below  backend.Reader
	number int
	dead   chan struct{} // closed when there is a reason
	timer  *time.Timer   // Lifetime

	reads, closes int // for the script

	mu     sync.Mutex
	abort  context.CancelFunc // of the Read below
	reason error
	closed bool
}

// die makes the reader fail from now on; the first reason stands, but for Close's.
func (r *flakyReader) die(reason error) {
	r.mu.Lock()
	if r.reason == nil {
		r.reason = reason
		close(r.dead)
	}
	abort := r.abort
	r.mu.Unlock()
	abort()
}

// begin returns the context for one Read below, which ends with the reader too, or why there is no reading any more.
func (r *flakyReader) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != nil {
		return nil, nil, r.reason
	}
	ctx, r.abort = context.WithCancel(ctx)
	return ctx, r.abort, nil
}

func (r *flakyReader) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

func (r *flakyReader) Read(ctx context.Context) (backend.Batch, error) {
	if err := r.why(); err != nil {
		return backend.Batch{}, err
	}
	e := r.flaky.decide(Call{Op: OnRead, Session: r.number}, &r.reads)
	if err := pause(ctx, e, r.dead); err != nil {
		r.die(fmt.Errorf("flaky: read: %w: %w", backend.ErrTransient, err))
	}
	if e.kind == "Fail" || e.kind == "Truncate" && e.n == 0 {
		r.die(refused("read", e.err))
	}
	call, cancel, err := r.begin(ctx)
	if err != nil {
		return backend.Batch{}, err
	}
	defer cancel()
	b, err := r.below.Read(call)
	if err != nil {
		r.die(err)
		return backend.Batch{}, r.why()
	}
	switch e.kind {
	case "Truncate":
		r.die(refused("read", nil))
		if len(b.Records) > e.n {
			b = backend.Batch{Records: b.Records[:e.n:e.n], Next: b.Records[e.n-1].Next}
		}
	case "ForgeBatch":
		b = e.batch(b)
	}
	return b, nil
}

func (r *flakyReader) Close() error {
	closed := fmt.Errorf("flaky: %w", backend.ErrClosed)
	r.die(closed)
	r.mu.Lock()
	again := r.closed
	r.closed, r.reason = true, closed
	r.mu.Unlock()
	if again {
		return nil
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.flaky.live.remove(r)
	err := r.below.Close()
	e := r.flaky.decide(Call{Op: OnClose, Session: r.number}, &r.closes)
	if e.kind == "Fail" {
		return refused("close", e.err)
	}
	return err
}
