package group

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// places is the checkpoint store of one tenure. Its Claim takes an epoch only together with the lease. A plain Claim
// would raise the epoch even for a member that was suspended and has lost its lease meanwhile: the new owner of the lease
// would be fenced, and the effects of the suspended member would be stored.
type places[T any] struct {
	checkpoint.Store
	m *member[T]
	t *tenure
}

func (p *places[T]) Claim(ctx context.Context, _ string) (checkpoint.Checkpoint, error) {
	p.m.mu.Lock()
	first := p.t.unused
	p.t.unused = nil
	p.m.mu.Unlock()
	switch {
	case first != nil: // of the acquisition with which the tenure began
		return *first, nil
	case p.t.hold.Work.Err() != nil:
		return checkpoint.Checkpoint{}, fmt.Errorf("%w: the stream was given back", backend.ErrFenced)
	}
	cp, ok, err := p.m.acquire(ctx, p.t)
	if err == nil && !ok {
		err = fmt.Errorf("%w: another member has the lease", backend.ErrFenced)
	}
	return cp, err
}
