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
	r := &flakyReader{flaky: f, below: below, number: number}
	r.life, r.end = context.WithCancel(context.Background())
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
	life   context.Context
	end    context.CancelFunc
	timer  *time.Timer

	reads, closes int // for the script

	mu     sync.Mutex
	reason error
	closed bool
}

// die makes the reader fail from now on; the first reason stands, but for Close's.
func (r *flakyReader) die(reason error) {
	r.mu.Lock()
	if r.reason == nil {
		r.reason = reason
	}
	r.mu.Unlock()
	r.end()
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
	if err := pause(ctx, e, r.life.Done()); err != nil {
		r.die(fmt.Errorf("flaky: read: %w: %w", backend.ErrTransient, err))
	}
	if e.kind == "Fail" || e.kind == "Truncate" && e.n == 0 {
		r.die(refused("read", e.err))
	}
	if err := r.why(); err != nil {
		return backend.Batch{}, err
	}
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
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
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.reason = fmt.Errorf("flaky: %w", backend.ErrClosed)
	r.mu.Unlock()
	r.end()
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
