package boltlog

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// writer is the committer's part of a store: enter, any number of refuse and apply, leave, settle, once a round.
type writer struct {
	durable streamState // as the last commit left it
	work    streamState // as the transaction under way leaves it

	touched  bool // in the round under way
	dirty    bool // something was stored in it
	deleted  bool // the stream was deleted in it
	sweeping bool // there may be blocks below the head

	tx      *bbolt.Tx
	b       *bbolt.Bucket // nil while the stream does not exist
	records *bbolt.Bucket
}

// sweepBlocks is how many trimmed blocks one transaction drops. A trim takes effect at once and for good; the space
// comes back over as many rounds as it takes, with the appends of all streams in between.
const sweepBlocks = 1024

// enter makes the stream part of the transaction.
func (s *store) enter(tx *bbolt.Tx) {
	s.touched, s.tx, s.work = true, tx, s.durable
	if s.b = tx.Bucket(s.bucket); s.b != nil {
		s.records = s.b.Bucket(recordsKey)
	}
}

// changed reports whether something of the stream is in the transaction already.
func (s *store) changed() bool { return s.dirty || s.deleted }

// refuse says why o cannot be part of the transaction, as the steps before it have left the stream.
func (s *store) refuse(o *op) error {
	switch ended := s.board.Err(); {
	case s.deleted:
		return fmt.Errorf("stream was deleted: %w", backend.ErrNotFound)
	case errors.Is(ended, backend.ErrNotFound): // what is in the file under the name now is another stream
		return ended
	case o.kind == opDelete && s.b == nil:
		return backend.ErrNotFound
	case o.kind == opDelete: // of a corrupt one, too
		return nil
	case ended != nil || o.kind == opSweep:
		return ended
	}
	next := s.work.State
	return next.Apply(o.write, o.blocks.records)
}

// apply puts o, which was not refused, into the transaction. An error says that the transaction cannot go on.
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
	o.first = s.work.Tail
	seq := o.first
	for i, n := range o.blocks.counts {
		s.work.latest = o.blocks.seal(i, seq, s.work.latest)
		if err := s.records.Put(blockKey(seq), o.blocks.data[i]); err != nil {
			return err
		}
		seq += uint64(n)
	}
	if err := s.putMeta(o.write.Meta); err != nil {
		return err
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
	// Keys only ever grow, so a page that is split will get no more of them: leave no room.
	s.records.FillPercent = 1
	return nil
}

func (s *store) putMeta(ms []streamlog.Meta) error {
	if len(ms) == 0 {
		return nil
	}
	b, err := s.b.CreateBucketIfNotExists(metaKey)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if m.Value == nil {
			err = b.Delete([]byte(m.Key))
		} else {
			err = b.Put([]byte(m.Key), m.Value)
		}
		if err != nil {
			return fmt.Errorf("meta %q: %w", m.Key, err)
		}
	}
	return nil
}

// leave writes what the stream has become, as the last thing of a transaction.
func (s *store) leave() error {
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

// sweep drops blocks that lie wholly below the head. Where a block ends it is the next one that says so, and no value is
// looked at: a corrupt one can be trimmed away.
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

// settle ends the stream's part in a round that was committed or not.
func (s *store) settle(committed bool) {
	deleted, dirty := s.deleted, s.dirty
	s.tx, s.b, s.records = nil, nil, nil
	s.touched, s.dirty, s.deleted = false, false, false
	switch {
	case !committed:
		s.sweeping = true // what was swept is back; looking once more costs nothing
	case deleted:
		s.board.End(fmt.Errorf("stream was deleted: %w", backend.ErrNotFound))
		s.db.forget(s)
	case dirty:
		s.durable = s.work
		if s.board.State() != s.durable.State {
			s.board.Publish(s.durable.State)
		}
		if s.sweeping {
			s.db.enqueue(&op{store: s, kind: opSweep, done: func(uint64, error) {}})
		}
	}
}
