// Package inhand carries a second context inside a context: the context of the work in hand. When the outer context ends, a
// loop of a consumer reads no more, and may finish the work in hand. When the inner context ends, the work in hand stops,
// too. Package group uses both contexts, because a member of a group may work on a stream only until a time.
package inhand

import (
	"context"
	"sync/atomic"
	"time"
)

// A Hold is the right to work on a stream until a time. Timers of the owner end the two contexts of a Hold in time. But a
// process that was suspended goes on with any of its goroutines first, and may begin the next record before its timers
// have fired. So whoever begins a record asks the clock, by calling Over.
//
// The methods of a nil Hold say that there is no limit.
type Hold struct {
	Reading context.Context    // carries the Hold; a loop runs under Reading
	Stop    context.CancelFunc // ends Reading
	Work    context.Context    // of the work in hand
	Kill    context.CancelFunc // ends Work, and Reading with Work

	begun     time.Time    // where the stopwatch of the Hold began
	readUntil atomic.Int64 // nanoseconds on the stopwatch
	workUntil atomic.Int64
}

// New returns a Hold without a limit. Its contexts outlive ctx.
func New(ctx context.Context) *Hold {
	h := &Hold{begun: time.Now()}
	h.readUntil.Store(1<<63 - 1)
	h.workUntil.Store(1<<63 - 1)
	work, kill := context.WithCancel(context.WithoutCancel(ctx))
	h.Work, h.Kill = workContext{work, h}, kill
	h.Reading, h.Stop = context.WithCancel(context.WithValue(h.Work, key{}, h))
	return h
}

// Until sets the two limits: no record begins after read, and no work goes on after work.
func (h *Hold) Until(read, work time.Time) {
	h.workUntil.Store(int64(work.Sub(h.begun)))
	h.readUntil.Store(int64(read.Sub(h.begun)))
}

// Over reports whether no record may begin any more, because the time is over. Over then ends the contexts whose time is
// over.
func (h *Hold) Over() bool {
	if h == nil {
		return false
	}
	now := int64(time.Since(h.begun))
	if now < h.readUntil.Load() {
		return false
	}
	h.Stop()
	if now >= h.workUntil.Load() {
		h.Kill()
	}
	return true
}

// A workContext asks the clock of its Hold, so that Err is right before the timer has fired, too.
type workContext struct {
	context.Context
	hold *Hold
}

func (c workContext) Err() error {
	c.hold.Over()
	return c.Context.Err()
}

type key struct{}

// From returns the Hold that ctx carries, or nil.
func From(ctx context.Context) *Hold {
	h, _ := ctx.Value(key{}).(*Hold)
	return h
}
