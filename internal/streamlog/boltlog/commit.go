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
	kind   opKind
	write  *streamlog.Write // of opWrite; its Records are in blocks
	blocks blocks
	first  uint64
	done   func(first uint64, err error)
}

type opKind int

const (
	opWrite  opKind = iota
	opSweep         // goes on with dropping trimmed blocks
	opDelete        // of the whole stream
)

// roundBytes bounds what one transaction writes, so that an ack never waits for more than that. At the speed of a slow
// disk it is a fraction of a second; an fsync shared by this much costs next to nothing a record.
const roundBytes = 16 << 20

// freelistPages is how many free pages make their list worth not writing. bbolt writes all of it with every commit, eight
// bytes a page: harmless in general, but a trim of many GB would make every append write many MB until the space is used
// again. While the list is longer it is not written, for which an open after a crash has to search the file.
const freelistPages = 16 << 10

// enqueue gives o to the committer, or fails it when that has ended.
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

func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// run is the committer: the one goroutine that writes to the file. While it waits for the disk, batches of any session
// and any stream queue up, and the next transaction carries all of them.
func (db *DB) run() {
	defer close(db.done)
	for {
		ops, closing := db.next()
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

// next takes the ops of one transaction off the queue.
func (db *DB) next() (ops []*op, closing bool) {
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
		db.queue = nil
	}
	return ops, db.closing
}

// putBack queues ops in front of all others.
func (db *DB) putBack(ops []*op) {
	if len(ops) == 0 {
		return
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.queue = append(ops[:len(ops):len(ops)], db.queue...)
}

// round commits ops as one transaction and tells each what became of it. It returns those it leaves for the next round.
//
// A refusal is an answer at once, and must hold whatever becomes of the transaction. One that may rest on a step of the
// same transaction, such as a close in front of an append, is none yet: the round ends in front of it, and the next round
// decides by what is durable then.
func (db *DB) round(ops []*op) (left []*op) {
	tx, err := db.begin()
	var stored []*op
	var touched []*store
	for i, o := range ops {
		if err == nil && !o.store.touched {
			touched = append(touched, o.store)
			err = db.file.Write(func() error { o.store.enter(tx); return nil })
		}
		var refused error
		if err == nil {
			refused = o.store.refuse(o)
		}
		if refused != nil && o.store.changed() {
			left = ops[i:]
			break
		}
		if o.write != nil && o.write.Begin != nil && !o.write.Begin() {
			continue
		}
		if refused != nil { // told before the session can begin anything behind it
			o.done(0, refused)
			continue
		}
		if err == nil {
			err = db.file.Write(func() error { return o.store.apply(o) })
		}
		stored = append(stored, o)
	}
	for i := 0; err == nil && i < len(touched); i++ {
		err = db.file.Write(touched[i].leave)
	}
	err = db.land(tx, touched, len(stored) > 0, err)
	for _, o := range stored {
		if err != nil {
			o.done(0, err)
		} else {
			o.done(o.first, nil)
		}
	}
	return left
}

func (db *DB) begin() (*bbolt.Tx, error) {
	if db.failed != nil {
		return nil, db.failed
	}
	tx, err := db.file.Begin()
	if err != nil {
		return nil, db.fileError(err)
	}
	stats := db.Bolt().Stats()
	// The field is read under the lock of the write transaction, and only then.
	db.Bolt().NoFreelistSync = stats.FreePageN+stats.PendingPageN > db.listFree
	return tx, nil
}

// land ends the transaction and shows what became of it.
func (db *DB) land(tx *bbolt.Tx, touched []*store, commit bool, err error) error {
	db.landing.Lock()
	defer db.landing.Unlock()
	err = db.finish(tx, commit, err)
	for _, s := range touched {
		s.settle(err == nil)
	}
	return err
}

// finish commits, or rolls back when there is nothing to commit or err says that it cannot be.
//
// A commit of bbolt writes pages that nothing refers to yet, syncs, writes one meta page that refers to them, and syncs
// again. Whatever fails up to the first sync leaves the old meta page in force: nothing is stored, and sending it again is
// safe. If the meta page was written and its sync failed, the new state is in the page cache and perhaps on the disk:
// after a crash it is there or not. No later commit may build on that as if it were durable, so there is none: the file
// has to be opened again, which settles it. Which of the two happened is visible: the meta page in force says its number.
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
	if errors.Is(err, boltfile.ErrDamaged) {
		db.file.Rollback(tx)
	}
	if now, viewErr := db.txID(); viewErr == nil && now < id {
		return db.notStored(err)
	}
	db.failed = fmt.Errorf("%s: open the file again, a commit has an unknown outcome: %w", db.path, err)
	return fmt.Errorf("%s: %w: %w", db.path, backend.ErrIndeterminate, err)
}

// notStored says that trying again is safe, and may help unless the file is damaged.
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

// saveFreelist writes the list of free pages if it was not written for being large, so that the next Open is quick. It is
// no loss when that fails.
func (db *DB) saveFreelist() {
	if !db.Bolt().NoFreelistSync || db.failed != nil {
		return
	}
	_ = db.file.Update(func(*bbolt.Tx) error {
		db.Bolt().NoFreelistSync = false
		return nil
	})
}
