package boltlog

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/boltfile"
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
}

// An opKind says what an op does.
type opKind int

const (
	opWrite  opKind = iota
	opSweep         // removes more trimmed blocks
	opDelete        // removes the whole stream
)

// roundBytes bounds how much one transaction writes, so that an ack never waits for more than this. A slow disk needs a
// fraction of a second for it. An fsync that so many bytes share costs next to nothing per record.
const roundBytes = 16 << 20

// freelistPages is the number of free pages above which the list of free pages is not written. bbolt writes the whole
// list with every commit, eight bytes for each page. In general that is harmless. But after a trim of many GB, every
// append would write many MB until the space is used again. The price: if the process crashes while the list is not
// written, the next open has to search the file for free pages.
const freelistPages = 16 << 10

// enqueue gives o to the committer. It fails o if the committer has ended.
func (db *DB) enqueue(o *op) {
	db.mu.Lock()
	if db.closing {
		db.mu.Unlock()
		o.done(0, db.errClosed())
		return
	}
	db.queue = append(db.queue, o)
	db.mu.Unlock()
	db.signal()
}

// signal wakes the committer. One token is enough, because the committer looks at the queue each time.
func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// run is the committer, the one goroutine that writes to the file. While it waits for the disk, batches of any session
// and any stream are queued, and the next transaction carries all of them.
func (db *DB) run() {
	defer close(db.done)
	for {
		ops, closing := db.nextOps()
		switch {
		case len(ops) > 0:
			db.putBack(db.round(ops))
		case closing:
			db.saveFreelist()
			return
		default:
			<-db.wake
		}
	}
}

// nextOps removes the ops of one transaction from the queue: as many as fit into roundBytes, and at least one.
func (db *DB) nextOps() (ops []*op, closing bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	n, size := 0, 0
	for n < len(db.queue) && (n == 0 || size+db.queue[n].blocks.size <= roundBytes) {
		size += db.queue[n].blocks.size
		n++
	}
	ops = db.queue[:n:n]
	db.queue = db.queue[n:]
	if len(db.queue) == 0 {
		// An empty queue gives its array back, which would otherwise keep finished ops in memory.
		db.queue = nil
	}
	return ops, db.closing
}

// putBack puts ops in front of the queue.
func (db *DB) putBack(ops []*op) {
	if len(ops) == 0 {
		return
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.queue = append(ops[:len(ops):len(ops)], db.queue...)
}

// round commits ops as one transaction and tells each op the outcome. It returns the ops that are left for the next
// round.
//
// A refusal is told at once, so it must be right even if the transaction fails later. Sometimes a refusal depends on an
// earlier step of the same transaction, such as a close in front of an append. Then the round ends in front of the
// refused op, and the next round decides by what is durable then.
func (db *DB) round(ops []*op) (left []*op) {
	tx, err := db.beginTx()
	var stored []*op
	var touched []*store
	for i, o := range ops {
		if err == nil && !o.store.inRound {
			touched = append(touched, o.store)
			err = db.file.Write(func() error { o.store.joinRound(tx); return nil })
		}
		var refused error
		if err == nil {
			refused = o.store.refuse(o)
		}
		// This refusal may depend on a step that is not durable yet.
		if refused != nil && o.store.changed() {
			left = ops[i:]
			break
		}
		// The session has dropped the batch.
		if o.write != nil && o.write.Begin != nil && !o.write.Begin() {
			continue
		}
		// Tell the refusal now, before the session can begin a batch behind this one.
		if refused != nil {
			o.done(0, refused)
			continue
		}
		if err == nil {
			err = db.file.Write(func() error { return o.store.apply(o) })
		}
		stored = append(stored, o)
	}
	for i := 0; err == nil && i < len(touched); i++ {
		err = db.file.Write(touched[i].writeState)
	}
	// From here on the outcome is durable or unknown. Only then the ops are told, after all locks are released.
	err = db.publish(tx, touched, len(stored) > 0, err)
	for _, o := range stored {
		if err != nil {
			o.done(0, err)
		} else {
			o.done(o.first, nil)
		}
	}
	return left
}

// beginTx begins a transaction, and decides whether the commit writes the list of free pages.
func (db *DB) beginTx() (*bbolt.Tx, error) {
	if db.commitsEnded != nil {
		return nil, db.commitsEnded
	}
	tx, err := db.file.Begin()
	if err != nil {
		return nil, db.fileError(err)
	}
	stats := db.Bolt().Stats()
	// bbolt reads this field only under the lock of the write transaction, which we hold.
	db.Bolt().NoFreelistSync = stats.FreePageN+stats.PendingPageN > db.listFree
	return tx, nil
}

// publish ends the transaction and shows the outcome on the boards of the streams in it. publishing is held for the
// whole time, so that no reader sees the file changed and the board unchanged.
func (db *DB) publish(tx *bbolt.Tx, touched []*store, commit bool, err error) error {
	db.publishing.Lock()
	defer db.publishing.Unlock()
	err = db.finish(tx, commit, err)
	for _, s := range touched {
		s.endRound(err == nil)
	}
	return err
}

// finish commits tx. It rolls tx back if there is nothing to commit, or if err says that the transaction has failed.
//
// A commit of bbolt has four steps. It writes pages that nothing refers to yet, syncs, writes one meta page that refers
// to these pages, and syncs again.
//
// If a step up to the first sync fails, the old meta page stays in force: nothing is stored, and sending the batches
// again is safe. If the meta page was written and its sync failed, the new state is in the page cache and may be on the
// disk: after a crash it is there or not. A later commit must not build on this state as if it were durable. So we make
// no more commits, and the operator has to open the file again, which shows what is stored.
//
// We can see which of the two happened: the number of the meta page in force is either the old one or that of this
// transaction.
func (db *DB) finish(tx *bbolt.Tx, commit bool, err error) error {
	if tx == nil {
		return err
	}
	if err != nil || !commit {
		db.file.Rollback(tx)
		return db.notStored(err)
	}
	id := tx.ID()
	if err = db.file.Write(func() error { return db.commit(tx) }); err == nil {
		return nil
	}
	// bbolt has panicked in the middle of the commit, and did not end the transaction itself.
	if errors.Is(err, boltfile.ErrDamaged) {
		db.file.Rollback(tx)
	}
	if now, viewErr := db.txID(); viewErr == nil && now < id {
		return db.notStored(err)
	}
	// The outcome is unknown, so this was the last commit.
	db.commitsEnded = fmt.Errorf("%s: the outcome of a commit is unknown, so nothing more is written; open the file again: %w", db.path, err)
	return fmt.Errorf("%s: %w: %w", db.path, backend.ErrIndeterminate, err)
}

// notStored wraps an error after which nothing is stored. To try again is safe, and may help unless the file is
// damaged.
func (db *DB) notStored(err error) error {
	if err == nil || errors.Is(err, boltfile.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", db.path, backend.ErrTransient, err)
}

// txID returns the number of the last transaction in force.
func (db *DB) txID() (id int, err error) {
	err = db.file.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	return id, err
}

// saveFreelist writes the list of free pages at the end, if it was not written because of its size. Then the next Open
// is quick. If saveFreelist fails, the next Open only takes longer.
func (db *DB) saveFreelist() {
	if !db.Bolt().NoFreelistSync || db.commitsEnded != nil {
		return
	}
	_ = db.file.Update(func(*bbolt.Tx) error {
		db.Bolt().NoFreelistSync = false
		return nil
	})
}
