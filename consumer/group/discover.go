package group

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// discover lists the streams, and lists them again and again until ctx is over. discover reports whether the first list
// succeeded.
func (m *member[T]) discover(ctx context.Context) bool {
	if m.g.streams.list == nil {
		m.names, _ = sorted(m.g.name, m.g.streams.names) // New has checked them
		return true
	}
	for attempt := 1; ; attempt++ {
		err := m.list(ctx)
		switch {
		case err == nil:
			m.goroutines.Go(func() { m.follow(ctx) })
			return true
		case ctx.Err() != nil:
			return false
		case !errors.Is(err, backend.ErrTransient):
			m.fail(fmt.Errorf("group: %s: list the streams: %w", m.g.name, err))
			return false
		case attempt == 1:
			m.startLog.WarnContext(ctx, "group: could not list the streams", "err", err)
		}
		if !backoff.Sleep(ctx, backoff.Default().Delay(attempt, err)) {
			return false
		}
	}
}

// follow lists the streams again and again. A failed list leaves the names unchanged.
func (m *member[T]) follow(ctx context.Context) {
	for backoff.Sleep(ctx, m.g.streams.every) {
		if err := m.list(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "group: could not list the streams; their names stay as they were", "err", err)
		}
	}
}

// list asks for the names once. The next round acts on them.
func (m *member[T]) list(ctx context.Context) error {
	names, err := m.g.streams.listGuarded(ctx)
	if err == nil {
		names, err = sorted(m.g.name, names)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(names, m.names) {
		m.log.InfoContext(ctx, "group: the streams have changed", "before", len(m.names), "now", len(names))
	}
	m.names = names
	return nil
}
