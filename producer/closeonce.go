package producer

import (
	"log/slog"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A closeOnce is a session that several goroutines close: the goroutine of run, the sender, timers, and an abort. Every call of
// close returns after the session is closed. A second Close of the session itself may return at once. Without closeOnce, the
// producer could then open the next session, or end, while the first Close is still running and the session still reads records.
type closeOnce struct {
	backend.Session
	logger *slog.Logger
	begun  atomic.Bool
	closed chan struct{}
}

// close closes the session, or waits until another goroutine has closed it.
func (s *closeOnce) close() {
	if s.begun.Swap(true) {
		<-s.closed
		return
	}
	defer close(s.closed)
	// Only the first Close returns the error, so the error is logged here, whoever closes.
	if err := s.Session.Close(); err != nil {
		s.logger.Warn("producer: closing a session failed", "err", err)
	}
}
