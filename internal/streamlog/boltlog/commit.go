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
// A refusal is reported at once, and must be right even if the round fails later. Sometimes a refusal depends on an
// earlier step of the same round, for example on a seal in front of an append. Then the round ends in front of the
// refused op, and the next round decides by the durable state.
func (o *op) Apply(tx *bbolt.Tx) error {
	// The stream joins the round even if the op is refused: refuse looks at the state in the transaction.
	o.store.db.join(o.store, tx)
	refused := o.store.refuse(o)
	switch {
	// The refusal may depend on a step that is not durable yet.
	case refused != nil && o.store.changed():
		return committer.ErrLater
	// The session has dropped the batch.
	case !o.begin():
		return committer.ErrUnchanged
	// Report the refusal now, before the session can begin a batch behind this one. Otherwise the later batch would be
	// stored, and the stream would have a hole.
	case refused != nil:
		o.tell(refused)
		return committer.ErrUnchanged
	}
	// An error here fails the whole round: the op was not refused, so the error comes from bbolt, and the transaction
	// cannot be trusted any more.
	return o.store.apply(o)
}

// begin asks the session whether the op must still be stored. It asks only once, because a session must not hear twice
// that its batch has begun.
func (o *op) begin() bool {
	if o.begun || o.write == nil || o.write.Begin == nil {
		return true
	}
	o.begun = o.write.Begin()
	// Nobody waits for an op whose batch was dropped.
	o.over = !o.begun
	return o.begun
}

// Done reports the outcome. If the round has failed before the op was applied, begin first asks whether the session has
// dropped the batch: a session must not learn the fate of a dropped batch.
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

// join makes s part of the round, when the first op of s is applied.
func (db *DB) join(s *store, tx *bbolt.Tx) {
	if !s.inRound {
		db.touched = append(db.touched, s)
		s.joinRound(tx)
	}
}

// seal writes the states of all streams of the round. It is the last change of the round.
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
		// This was the last round. We keep its streams from garbage collection, because their boards show the durable
		// state. A new store would show the state in the file, and a crash may take that state back.
		db.unknown = db.touched
	}
	db.touched = nil
}

// outcome translates an error of the committer into the errors of package backend.
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
