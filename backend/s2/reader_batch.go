package s2

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// batch makes of what the server sent what the reader returns, and finds what is missing.
func (r *reader) batch(ctx context.Context, b wire.Batch) (backend.Batch, error) {
	if len(b.Records) == 0 {
		return r.heartbeat(ctx, b)
	}
	if err := r.expect(b.First); err != nil {
		return backend.Batch{}, err
	}
	for i := range b.Seqs {
		if i > 0 && b.Seqs[i] != b.Seqs[i-1]+1 {
			r.known, r.next = true, b.Seqs[i-1]+1
			r.pending = r.hole(b.Seqs[i]) // what came before it is returned before it
			b.Records, b.Seqs, b.HasTail = b.Records[:i], b.Seqs[:i], false
			break
		}
	}
	setOffsets(&b, r.suffix)
	n := len(b.Records)
	last := &b.Records[n-1]
	r.known, r.earliest, r.next = true, false, b.Seq(n-1)+1
	out := backend.Batch{Records: b.Records, Next: last.Next, CaughtUp: b.HasTail && b.Tail.SeqNum <= r.next}
	if !r.stream.cfg.commands {
		out.Records = withoutCommands(out.Records)
	}
	return out, nil
}

// expect checks that a record may be at seq.
func (r *reader) expect(seq uint64) error {
	switch {
	case !r.known || seq == r.next || r.earliest && seq > r.next:
		return nil
	case seq < r.next:
		return protocolErrorf("record %d where %d is next", seq, r.next)
	}
	return r.hole(seq)
}

func (r *reader) hole(to uint64) error {
	return fmt.Errorf("records %d to %d are missing: %w", r.next, to-1, backend.ErrOutOfRange)
}

// heartbeat is a batch with a tail and no records. It tells where a relative start is, and that the reader has caught up.
func (r *reader) heartbeat(ctx context.Context, b wire.Batch) (backend.Batch, error) {
	tail := b.Tail.SeqNum
	switch {
	case !r.known:
		r.known, r.next = true, tail
	case tail > r.next:
		// Either the records up to the tail are on their way, or they were trimmed and never come.
		first, err := r.look(ctx, tail)
		switch {
		case err != nil:
			return backend.Batch{}, err
		case first != r.next && !r.earliest:
			return backend.Batch{}, r.hole(tail)
		}
		r.next = first // where everything is trimmed, Earliest is the tail
	}
	if tail <= r.next {
		r.earliest = false
	}
	return backend.Batch{Next: at(r.next, r.suffix), CaughtUp: tail == r.next}, nil
}

// look asks where the first record from next on is. It is the tail if there is none.
func (r *reader) look(ctx context.Context, tail uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)() // Close ends it
	got, err := r.stream.Read(ctx, Range{From: At(r.next), Count: 1})
	switch {
	case errors.Is(err, backend.ErrOutOfRange) || err == nil && len(got.Records) == 0:
		return tail, nil
	case err != nil:
		return 0, err
	}
	return SeqNum(got.Records[0].Offset)
}

// withoutCommands filters in place: the batch is not the caller's yet.
func withoutCommands(recs []backend.Record) []backend.Record {
	n := 0
	for i := range recs {
		if isCommand(&recs[i]) {
			continue
		}
		if n != i {
			recs[n] = recs[i]
		}
		n++
	}
	clear(recs[n:])
	return recs[:n:n]
}
