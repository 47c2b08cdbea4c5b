package durablestreams

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// patience is how many batches have to be accepted before the window grows by one. Each growth may cost one batch that is
// sent twice, so about one in patience is, on a server to which every batch comes early that can.
const patience = 32

// A window is how many batches of one producer are on their way at once, and how. They go over several connections, where
// some overtake others, and most servers refuse what comes too early, so that it has to be sent a second time. With those
// that do, unlike ours, a request begins when the one before it was written to its connection, whose answer it does not
// wait for. Some come early even then, behind a proxy or where the server has several processors: the window is halved
// when one does, and grows again while none does.
type window struct {
	size    int    // batches
	ordered bool   // some came too early
	told    bool   // the transport says when it has written a request: some of other makes do not
	doomed  uint64 // those below it were on their way already when the window was halved
	calm    int    // batches accepted since it changed
}

// early takes note that seq came too early, when those below next were on their way.
func (w *window) early(seq, next uint64) {
	if seq >= w.doomed {
		w.size, w.doomed = max(w.size/2, 1), next
	}
	w.ordered, w.calm = true, 0
}

// accepted takes note of a batch that was. limit is the largest size.
func (w *window) accepted(limit int) {
	if w.calm++; w.calm >= patience {
		w.size, w.calm = min(w.size+1, limit), 0
	}
}

// await waits until one more request may be under way.
func (s *session) await(ctx context.Context) error {
	for !s.clear() {
		select {
		case <-s.turn:
		case <-ctx.Done():
			return s.failed("send", fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err()))
		case <-s.life.Done():
			return context.Cause(s.life)
		}
	}
	return nil
}

// clear says whether it may. None may beside the first of an epoch: had that lost the epoch, then so would have all behind.
func (s *session) clear() bool {
	a := s.appender
	a.mu.Lock()
	steady, size, told := a.steady, a.window.size, a.window.told
	a.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == 0 {
		return true
	}
	return steady && s.away < size && (!told || s.queue[len(s.queue)-1].left)
}

// early has the batch behind b, which came too early, wait until b was written once more.
func (s *session) early(b *batch) {
	s.mu.Lock()
	b.left = false
	next := s.next
	s.mu.Unlock()
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	a.window.early(b.seq, next)
}

// written gives the batch behind b its turn.
func (s *session) written(b *batch) {
	a := s.appender
	a.mu.Lock()
	a.window.told = true
	a.mu.Unlock()
	s.mu.Lock()
	b.left = true
	s.mu.Unlock()
	signal(s.turn)
}
