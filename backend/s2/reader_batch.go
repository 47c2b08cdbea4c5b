package s2

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/records"
)

// batch makes the Batch for the caller from a batch of the server, and looks for missing records. Records are missing if they
// were trimmed before the reader got them. Without the check, a consumer would go on behind the gap and never know.
func (r *reader) batch(ctx context.Context, b wire.Batch) (backend.Batch, error) {
	if len(b.Records) == 0 {
		return r.heartbeat(ctx, b)
	}
	// The whole slice goes back, with the records that are cut off or filtered below: records.Slice promises zero records.
	free := records.Free(b.Records)
	// Gaps between two batches. Gaps within a batch follow below.
	if err := r.expect(b.First); err != nil {
		return backend.Batch{}, err
	}
	for i := range b.Seqs { // empty unless the positions have gaps
		if i > 0 && b.Seqs[i] != b.Seqs[i-1]+1 {
			r.known, r.next = true, b.Seqs[i-1]+1
			r.pending = r.hole(b.Seqs[i]) // the records before the hole are returned first
			b.Records, b.Seqs, b.HasTail = b.Records[:i], b.Seqs[:i], false
			break
		}
	}
	setOffsets(&b, r.suffix)
	n := len(b.Records)
	last := &b.Records[n-1] // before commands are filtered out: Next must be behind them
	r.known, r.earliest, r.next = true, false, b.Seq(n-1)+1
	out := backend.Batch{Records: b.Records, Next: last.Next, CaughtUp: b.HasTail && b.Tail.SeqNum <= r.next, Free: free}
	// Commands are filtered last, because they count as records for positions and gaps.
	if !r.stream.cfg.commands {
		out.Records = withoutCommands(out.Records)
	}
	return out, nil
}

// expect checks the sequence number of the next record. Only a session from backend.Earliest may begin behind next, because
// trimmed records are no loss there.
func (r *reader) expect(seq uint64) error {
	switch {
	case !r.known || seq == r.next || r.earliest && seq > r.next:
		return nil
	// A repeated record would be delivered twice, and the consumer's place would go back.
	case seq < r.next:
		return protocolErrorf("record %d where %d is next", seq, r.next)
	}
	return r.hole(seq)
}

// hole is the error for missing records, from next up to the record before to: somebody trimmed the stream while the reader read.
// The consumer must decide about the loss; a reader that went on would hide the loss.
func (r *reader) hole(to uint64) error {
	return fmt.Errorf("records %d to %d are missing: %w", r.next, to-1, backend.ErrOutOfRange)
}

// heartbeat handles a batch with a tail and without records. The tail makes a relative start absolute, and shows whether the
// reader has caught up.
func (r *reader) heartbeat(ctx context.Context, b wire.Batch) (backend.Batch, error) {
	tail := b.Tail.SeqNum
	switch {
	// No record has come before the heartbeat, so the reader stands at the tail. From here on expect notices missing records.
	case !r.known:
		r.known, r.next = true, tail
	case tail > r.next:
		// The server has not sent the records up to the tail yet, or will never send them because they were trimmed. Without
		// look, a reader of a trimmed stream would wait for ever.
		first, err := r.look(ctx, tail)
		switch {
		case err != nil:
			return backend.Batch{}, err
		case first != r.next && !r.earliest:
			return backend.Batch{}, r.hole(first)
		}
		r.next = first // the tail, if all records are trimmed
	}
	if tail <= r.next {
		r.earliest = false // the reader has reached the tail: from now on, missing records are a loss
	}
	return backend.Batch{Next: offsetIn(r.next, r.suffix), CaughtUp: tail == r.next}, nil
}

// look asks for the position of the first record from next on. If there is no record, the position is the tail.
func (r *reader) look(ctx context.Context, tail uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)() // Close ends the call
	got, err := r.stream.Read(ctx, Range{From: At(r.next), Count: 1})
	switch {
	case errors.Is(err, backend.ErrOutOfRange) || err == nil && len(got.Records) == 0:
		return tail, nil
	case err != nil:
		return 0, err
	}
	return SeqNum(got.Records[0].Offset)
}

// withoutCommands filters recs in place. The caller must own recs.
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
	// Without clear, the records behind the end would keep the memory of the batch alive.
	clear(recs[n:])
	return recs[:n:n]
}
