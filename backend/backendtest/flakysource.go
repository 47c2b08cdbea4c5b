package backendtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// A FlakySource is a [backend.Source] in front of another source, and makes calls go wrong according to its faults:
//
//	source := backendtest.NewFlakySource(stream,
//		backendtest.Nth(backendtest.OnOpenReader, 1, backendtest.Fail(backend.ErrTransient)),
//		backendtest.Every(backendtest.OnRead, 3, backendtest.Truncate(2)), // cut in the middle of a response
//	)
//	c, err := consumer.New(source, codec.JSON[Order]())
//
// For a stream that is flaky in both directions, make a FlakySink in front of the same stream too.
type FlakySource struct {
	*script
	source backend.Source
	live   live[*flakyReader]
}

// NewFlakySource makes a FlakySource with the given faults in front of source.
func NewFlakySource(source backend.Source, faults ...Fault) *FlakySource {
	return &FlakySource{script: newScript(faults), source: source}
}

// Break drops all connections at this moment: every reader fails with err (nil stands for [backend.ErrTransient]).
func (f *FlakySource) Break(err error) {
	for _, r := range f.live.all() {
		r.end(notTakenError("connection", err))
	}
}

// OpenReader starts reading at from, unless a fault makes the opening fail.
func (f *FlakySource) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	number := f.live.number()
	e := f.effectOf(Call{Op: OnOpenReader, Session: number, From: from}, new(int))
	if err := pause(ctx, e, nil); err != nil {
		return nil, fmt.Errorf("flaky: open reader: %w: %w", backend.ErrTransient, err)
	}
	if e.kind == "Fail" {
		return nil, notTakenError("open reader", e.err)
	}
	below, err := f.source.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	r := &flakyReader{flaky: f, below: below, number: number, ended: make(chan struct{}), abortRead: func() {}, ending: func() {}}
	var reader backend.Reader = r
	if below, ok := below.(backend.Notifier); ok {
		n := &flakyNotifier{flakyReader: r, below: below}
		r.ending, reader = n.call, n
	}
	f.live.add(r)
	if e.kind == "Lifetime" {
		expire := func() { r.end(notTakenError("reader", e.err)) }
		if e.life <= 0 {
			expire()
		} else {
			r.timer = time.AfterFunc(e.life, expire)
		}
	}
	return reader, nil
}

// flakyReader stands between a consumer and a reader of the store below.
type flakyReader struct {
	flaky  *FlakySource
	below  backend.Reader
	number int           // of the reader on its source, for Call.Session
	ended  chan struct{} // closed when reason is set
	timer  *time.Timer   // of Lifetime; nil without
	ending func()        // called when the reader has ended

	reads, closes int // counters of calls, for the script

	mu        sync.Mutex
	abortRead context.CancelFunc // ends the Read below that is running
	reason    error              // why every later Read fails; nil while the reader lives
	closed    bool
}

// end makes every later Read fail with reason and ends a Read that is running. The first reason counts, but Close replaces it
// by ErrClosed.
func (r *flakyReader) end(reason error) {
	r.mu.Lock()
	if r.reason == nil {
		r.reason = reason
		close(r.ended)
	}
	abort := r.abortRead
	r.mu.Unlock()
	abort()
	r.ending()
}

// beginRead returns the context for a single Read below, which end cancels too. When the reader has ended, beginRead returns
// the reason.
func (r *flakyReader) beginRead(ctx context.Context) (context.Context, context.CancelFunc, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != nil {
		return nil, nil, r.reason
	}
	ctx, r.abortRead = context.WithCancel(ctx)
	return ctx, r.abortRead, nil
}

// endReason returns why the reader has ended, or nil.
func (r *flakyReader) endReason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

func (r *flakyReader) Read(ctx context.Context) (backend.Batch, error) {
	if err := r.endReason(); err != nil {
		return backend.Batch{}, err
	}
	e := r.flaky.effectOf(Call{Op: OnRead, Session: r.number}, &r.reads)
	if err := pause(ctx, e, r.ended); err != nil {
		r.end(fmt.Errorf("flaky: read: %w: %w", backend.ErrTransient, err))
	}
	if e.kind == "Fail" || e.kind == "Truncate" && e.n == 0 {
		r.end(notTakenError("read", e.err))
	}
	call, cancel, err := r.beginRead(ctx)
	if err != nil {
		return backend.Batch{}, err
	}
	defer cancel()
	b, err := r.below.Read(call)
	if err != nil {
		r.end(err) // an error ends a reader for good, also when a fault has cancelled the Read
		return backend.Batch{}, r.endReason()
	}
	switch e.kind {
	case "Truncate":
		r.end(notTakenError("read", nil)) // the next Read fails
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
	r.end(closed)
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
	e := r.flaky.effectOf(Call{Op: OnClose, Session: r.number}, &r.closes)
	if e.kind == "Fail" {
		return notTakenError("close", e.err)
	}
	return err
}
