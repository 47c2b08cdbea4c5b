package boltlog

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/committer"
	"github.com/headrace/headrace/internal/streamlog"
)

// An op is one step for the committer.
type op struct {
	store  *store
	kind   opKind           // what to do
	write  *streamlog.Write // of opWrite; its records are in blocks
	blocks blocks
	first  uint64                        // seq of the first record, known once the op was applied
	done   func(first uint64, err error) // called once with the outcome, with no lock held

	begun bool // write.Begin has returned true
	over  bool // done was called, or write.Begin has returned false
}

// An opKind says what an op does.
type opKind int

const (
	opWrite  opKind = iota
	opSweep         // removes more trimmed blocks
	opDelete        // removes the whole stream
)

// Size implements [committer.Step].
func (o *op) Size() int { return o.blocks.size }

// Apply makes the change, or refuses it.
//
// A refusal is told at once, so it must be right even if the round fails later. Sometimes a refusal depends on an earlier
// step of the same round, such as a close in front of an append. Then the round ends in front of the refused op, and the
// next round decides by what is durable then.
func (o *op) Apply(tx *bbolt.Tx) error {
	o.store.db.join(o.store, tx)
	refused := o.store.refuse(o)
	switch {
	// This refusal may depend on a step that is not durable yet.
	case refused != nil && o.store.changed():
		return committer.ErrLater
	// The session has dropped the batch.
	case !o.begin():
		return committer.ErrUnchanged
	// Tell the refusal now, before the session can begin a batch behind this one.
	case refused != nil:
		o.tell(refused)
		return committer.ErrUnchanged
	}
	return o.store.apply(o)
}

// begin asks the session whether the batch is still to be stored. It asks once.
func (o *op) begin() bool {
	if o.begun || o.write == nil || o.write.Begin == nil {
		return true
	}
	o.begun = o.write.Begin()
	o.over = !o.begun
	return o.begun
}

// Done tells the outcome. If the round failed before the op was applied, the session is asked first whether it has
// dropped the batch: a session must not be told the fate of a dropped batch.
func (o *op) Done(err error) {
	if !o.over && o.begin() {
		o.tell(outcome(err))
	}
}

func (o *op) tell(err error) {
	o.over = true
	if err != nil {
		o.done(0, err)
		return
	}
	o.done(o.first, nil)
}

// join makes s part of the round, with the first of its ops.
func (db *DB) join(s *store, tx *bbolt.Tx) {
	if !s.inRound {
		db.touched = append(db.touched, s)
		s.joinRound(tx)
	}
}

// seal is the last change of a round: the states of its streams.
func (db *DB) seal(*bbolt.Tx) error {
	for _, s := range db.touched {
		if err := s.writeState(); err != nil {
			return err
		}
	}
	return nil
}

// publish shows the outcome of a round on the boards of its streams.
func (db *DB) publish(err error) {
	for _, s := range db.touched {
		s.endRound(err == nil)
	}
	if errors.Is(err, committer.ErrUnknown) {
		// This was the last round. Its streams must not be garbage collected: their boards show what is durable, and a
		// new store would show what is in the file, which a crash may take back.
		db.unknown = db.touched
	}
	db.touched = nil
}

// outcome says in the words of package backend what an error of the committer means for a caller.
func outcome(err error) error {
	switch {
	case errors.Is(err, committer.ErrNotStored):
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case errors.Is(err, committer.ErrUnknown):
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	case errors.Is(err, committer.ErrClosed), errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("%w: %w", backend.ErrClosed, err)
	}
	return err
}
