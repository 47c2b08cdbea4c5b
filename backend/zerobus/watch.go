package zerobus

import "context"

// A watch ends a stream when the context of a call ends during the call. The watch stays registered while the calls come
// with the same context, as the calls of a producer do. To register a context.AfterFunc for each call cost more than 10 % of
// the work of sending a small batch, and about a third of what we add to the bare round trip of a lone record. The lock of
// the conn guards the fields.
type watch struct {
	done <-chan struct{} // of the context
	stop func() bool
}

// watchLocked is called at the beginning of a call. The call runs while running is true.
func (c *conn) watchLocked(ctx context.Context, w *watch, running *bool) {
	if ctx.Err() != nil { // AfterFunc would run in a goroutine of its own, and too late for this call
		c.interruptLocked(ctx.Err())
		return
	}
	// The channel identifies the context. A context that was derived without a cancellation of its own has the same channel.
	done := ctx.Done()
	if done == w.done {
		return
	}
	w.endLocked()
	if w.done = done; done == nil {
		return
	}
	w.stop = context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if *running && w.done == done { // a context that ends between two calls ends nothing
			c.interruptLocked(ctx.Err())
		}
	})
}

// endLocked is called at the end of the stream, and before another context is watched. A watch that stayed registered would
// keep the whole stream in memory for as long as the context lives.
func (w *watch) endLocked() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.done = nil
}

// interruptLocked ends the stream because a context has ended. If a server holds up a message, we cannot half-close the
// stream and must cut it off.
func (c *conn) interruptLocked(cause error) {
	c.endLocked(cause)
	if c.writing {
		c.cancel()
	}
}
