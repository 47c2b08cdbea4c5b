package boltlog

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// roundState is the committer's part of a store. In each round the committer calls, for each stream: joinRound, any
// number of refuse and apply, writeState, endRound.
type roundState struct {
	durable streamState // the state after the last commit
	work    streamState // the state after the steps of the transaction under way

	inRound  bool // the stream is part of the round under way
	dirty    bool // the round has changed something
	deleted  bool // the round has deleted the stream
	sweeping bool // there may be blocks below the head

	tx      *bbolt.Tx
	b       *bbolt.Bucket // nil while the stream does not exist
	records *bbolt.Bucket
}

// sweepBlocks is how many trimmed blocks one transaction removes. A trim takes effect at once and for good. Its space
// comes back over several rounds, so that the appends of all streams need not wait for a large trim.
const sweepBlocks = 1024

// joinRound makes the stream part of the transaction.
func (s *store) joinRound(tx *bbolt.Tx) {
	s.inRound, s.tx, s.work = true, tx, s.durable
	if s.b = tx.Bucket(s.bucket); s.b != nil {
		s.records = s.b.Bucket(recordsKey)
	}
}

// changed reports whether the transaction has changed the stream already.
func (s *store) changed() bool { return s.dirty || s.deleted }

// refuse returns why o cannot be part of the transaction, given the steps before o in the transaction.
func (s *store) refuse(o *op) error {
	switch ended := s.board.Err(); {
	case s.deleted:
		return fmt.Errorf("stream was deleted: %w", backend.ErrNotFound)
	// The stream was deleted. The bucket with its name, if there is one, belongs to another stream.
	case errors.Is(ended, backend.ErrNotFound):
		return ended
	case o.kind == opDelete && s.b == nil:
		return backend.ErrNotFound
	// A corrupt stream can be deleted too.
	case o.kind == opDelete:
		return nil
	case ended != nil || o.kind == opSweep:
		return ended
	}
	next := s.work.State
	return next.Apply(o.write, o.blocks.records)
}

// apply puts o into the transaction, after refuse has returned nil for o. After an error the transaction cannot go on.
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
	if err := s.create(); err != nil {
		return err
	}
	if next.Incarnation == "" { // the first write, or the first one since streams have an incarnation
		next.Incarnation = streamlog.NewIncarnation()
	}
	o.first = s.work.Tail
	seq := o.first
	for i, n := range o.blocks.counts {
		s.work.latest = o.blocks.seal(i, seq, s.work.latest)
		if err := s.records.Put(blockKey(seq), o.blocks.data[i]); err != nil {
			return err
		}
		seq += uint64(n)
	}
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
	// Keys only grow. So a page that is split will get no more keys, and we leave no room in it.
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

// sweep removes blocks that are wholly below the head. The key of the next block says where a block ends. sweep does
// not look at values, so a corrupt block can be trimmed away.
func (s *store) sweep() error {
	for range sweepBlocks {
		c := s.records.Cursor()
		k, _ := c.First()
		if k == nil {
			s.sweeping = false
			return nil
		}
		key, end := append([]byte(nil), k...), s.work.Tail
		if next, _ := c.Next(); next != nil {
			var err error
			if end, err = blockSeq(next); err != nil {
				return err
			}
		}
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

// endRound ends the stream's part in a round, and shows the new state on the board if the round was committed. The
// caller is publish, so no Between runs meanwhile.
func (s *store) endRound(committed bool) {
	deleted, dirty := s.deleted, s.dirty
	s.tx, s.b, s.records = nil, nil, nil
	s.inRound, s.dirty, s.deleted = false, false, false
	switch {
	case !committed:
		// The removed blocks are back. We do not remember how many, and to look once more costs nothing.
		s.sweeping = true
	case deleted:
		s.board.End(fmt.Errorf("stream was deleted: %w", backend.ErrNotFound))
		s.db.forget(s)
	case dirty:
		s.durable = s.work
		if s.board.State() != s.durable.State {
			s.board.Publish(s.durable.State)
		}
		if s.sweeping {
			s.db.committer.Do(&op{store: s, kind: opSweep, done: func(uint64, error) {}})
		}
	}
}
