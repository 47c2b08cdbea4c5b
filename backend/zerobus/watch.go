package zerobus

import "context"

// A watch interrupts a session when the context of a call ends during the call. It stays in place from one call to the next
// for as long as they come with the same context, as a producer's do: coming and going cost more than a tenth of sending
// a small batch, and of a lone record's way beyond the bare round trip about a third. The appender's lock serves it.
type watch struct {
	ended <-chan struct{} // of the context
	stop  func() bool
}

// watch is for the beginning of a call, which is under way for as long as during says. The lock is held.
func (s *session) watch(ctx context.Context, w *watch, during *bool) {
	if ctx.Err() != nil {
		s.interrupt(ctx.Err())
		return
	}
	ended := ctx.Done()
	if ended == w.ended {
		return
	}
	w.end()
	if w.ended = ended; ended == nil {
		return
	}
	w.stop = context.AfterFunc(ctx, func() {
		s.appender.mu.Lock()
		defer s.appender.mu.Unlock()
		if *during && w.ended == ended {
			s.interrupt(ctx.Err())
		}
	})
}

// end is for the end of the session. The lock is held.
func (w *watch) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.ended = nil
}

// interrupt ends the session for a context. A message that is on its way may be held up by the server, so the stream cannot
// be half-closed then. The lock is held.
func (s *session) interrupt(cause error) {
	_ = s.end(cause)
	if s.sending {
		s.kill()
	}
}
