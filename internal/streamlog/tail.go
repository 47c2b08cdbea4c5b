package streamlog

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Tail implements [backend.Tailer]. It does not count bytes, because Stores do not keep the sum.
func (l *Log) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	pos, err := l.resolve(ctx, from)
	if err != nil {
		return backend.Tail{}, fmt.Errorf("%s: tail: %w", l.name, err)
	}
	// The state is read after the place was resolved, so the tail is not before the place. A trim in between may make
	// the count too large, by records that are gone.
	st := l.store.Board().State()
	return backend.Tail{Next: FormatOffset(st.Tail, st.Incarnation), Records: int64(st.Tail - min(pos, st.Tail)), Bytes: -1}, nil
}
