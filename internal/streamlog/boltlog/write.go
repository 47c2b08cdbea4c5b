package boltlog

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// roundState is the part of a store that belongs to the committer. In each round, the committer calls these methods for
// each stream: joinRound, any number of refuse and apply, writeState, endRound.
type roundState struct {
	durable streamState // the state after the last commit
	work    streamState // the state after the steps of the transaction under way

	inRound  bool // the stream is part of the round under way
	dirty    bool // the round has changed something
	deleted  bool // the round has deleted the stream
	sweeping bool // blocks below the head may be in the file

	tx      *bbolt.Tx
	b       *bbolt.Bucket // nil while the stream does not exist
	records *bbolt.Bucket
}

// sweepBlocks is how many trimmed blocks one transaction removes. A trim takes effect at once and for good. But the
// space is freed over several rounds. Otherwise the appends of all streams would wait for one large trim.
const sweepBlocks = 1024

// joinRound makes the stream part of the transaction.
func (s *store) joinRound(tx *bbolt.Tx) {
	// work begins as the durable state, and not as the state of the last round: the last round may have failed.
	s.inRound, s.tx, s.work = true, tx, s.durable
	if s.b = tx.Bucket(s.bucket); s.b != nil {
		s.records = s.b.Bucket(recordsKey)
	}
}

// changed reports whether the transaction has changed the stream already.
func (s *store) changed() bool { return s.dirty || s.deleted }

// refuse returns the reason why o cannot be part of the transaction, after the earlier steps of the transaction.
func (s *store) refuse(o *op) error {
	switch ended := s.board.Err(); {
	case s.deleted:
		return fmt.Errorf("stream was deleted: %w", backend.ErrNotFound)
	// The stream was deleted in an earlier round. If there is a bucket with its name, the bucket belongs to a new
	// stream.
	case errors.Is(ended, backend.ErrNotFound):
		return ended
	case o.kind == opDelete && s.b == nil:
		return backend.ErrNotFound
	// Deleting a corrupt stream is allowed too.
	case o.kind == opDelete:
		return nil
	case ended != nil || o.kind == opSweep:
		return ended
	}
	next := s.work.State
	return next.Apply(o.write, o.blocks.records)
}

// apply makes the changes of o in the transaction. The caller has called refuse for o. After an error of apply, the
// whole transaction fails.
func (s *store) apply(o *op) error {
	switch o.kind {
	case opDelete:
		s.deleted = true
		return s.tx.DeleteBucket(s.bucket)
	case opSweep:
		s.dirty = true
		return nil
	}
	next := s.work.State
	if err := next.Apply(o.write, o.blocks.records); err != nil {
		return err
	}
	// The stream is made by its first Write, and in the same transaction. An empty bucket would look like a damaged
	// stream.
	if err := s.create(); err != nil {
		return err
	}
	if next.Incarnation == "" { // the stream is new, or older than incarnations
		next.Incarnation = streamlog.NewIncarnation()
	}
	o.first = s.work.Tail
	seq := o.first
	// Only now are the seqs known. The sender has encoded the blocks with room for the trailer, so that the committer
	// only fills in the trailers, and the other streams of the round do not wait for the encoding.
	for i, n := range o.blocks.counts {
		s.work.latest = o.blocks.seal(i, seq, s.work.latest)
		if err := s.records.Put(blockKey(seq), o.blocks.data[i]); err != nil {
			return err
		}
		seq += uint64(n)
	}
	// The blocks before the head are removed at the end of the round, when all trims of the round are known.
	s.sweeping = s.sweeping || next.Head > s.work.Head
	s.work.State, s.dirty = next, true
	return nil
}

// create makes the buckets of a stream that does not exist yet.
func (s *store) create() (err error) {
	if s.b == nil {
		if s.b, err = s.tx.CreateBucket(s.bucket); err != nil {
			return err
		}
		if s.records, err = s.b.CreateBucket(recordsKey); err != nil {
			return err
		}
	}
	// Keys only grow. A page that was split gets no more keys, so we fill it completely.
	s.records.FillPercent = 1
	return nil
}

// writeState writes the new state of the stream. It is the last step of a transaction.
func (s *store) writeState() error {
	if !s.dirty || s.deleted {
		return nil
	}
	if s.sweeping {
		if err := s.sweep(); err != nil {
			return err
		}
	}
	return s.b.Put(stateKey, s.work.encode())
}

// sweep removes the blocks that are wholly below the head. The key of the next block tells where a block ends. sweep
// does not read values, so a trim can remove a corrupt block.
func (s *store) sweep() error {
	for range sweepBlocks {
		c := s.records.Cursor()
		k, _ := c.First()
		if k == nil {
			s.sweeping = false
			return nil
		}
		// The key is copied, because the cursor moves on and the bytes of a key belong to the page.
		key, end := append([]byte(nil), k...), s.work.Tail
		if next, _ := c.Next(); next != nil {
			var err error
			if end, err = blockSeq(next); err != nil {
				return err
			}
		}
		// The block holds a record that is kept.
		if end > s.work.Head {
			s.sweeping = false
			return nil
		}
		if err := s.records.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// endRound ends the stream's part in a round. If the round was committed, endRound shows the new state on the board.
// publish calls endRound, so no Between runs at the same time.
func (s *store) endRound(committed bool) {
	deleted, dirty := s.deleted, s.dirty
	// The transaction has ended. A later use of its buckets would read pages that bbolt may have used again.
	s.tx, s.b, s.records = nil, nil, nil
	s.inRound, s.dirty, s.deleted = false, false, false
	switch {
	case !committed:
		// The removed blocks are in the file again. We do not remember how many, and another look costs nothing.
		s.sweeping = true
	case deleted:
		s.board.End(fmt.Errorf("stream was deleted: %w", backend.ErrNotFound))
		s.db.forget(s)
	case dirty:
		s.durable = s.work
		// A sweep removes blocks and does not change the state. Publishing the same state would wake all readers for
		// nothing.
		if s.board.State() != s.durable.State {
			s.board.Publish(s.durable.State)
		}
		if s.sweeping {
			// One transaction removes only sweepBlocks blocks. The next round goes on with the sweep.
			s.db.committer.Do(&op{store: s, kind: opSweep, done: func(uint64, error) {}})
		}
	}
}
