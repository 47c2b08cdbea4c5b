package committer

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
)

// freelistPages is the number of free pages above which commits do not write the list of free pages. bbolt writes the
// whole list with every commit, eight bytes for each page. Usually the list is short. But after many GB were removed,
// every commit would write many MB until the space is used again. The disadvantage: if the process crashes while the
// list is not written, the next open must search the whole file for free pages.
const freelistPages = 16 << 10

// round commits steps as one transaction, and tells each step the outcome. It returns the steps for the next round.
func (c *Committer) round(steps []Step) (left []Step) {
	tx, err := c.begin()
	changed := false
	for i := 0; i < len(steps) && err == nil; i++ {
		applied := c.file.Write(func() error { return steps[i].Apply(tx) })
		switch applied {
		case nil:
			changed = true
		case ErrUnchanged:
		case ErrLater:
			steps, left = steps[:i], steps[i:]
		default:
			err = applied
		}
	}
	if err == nil && changed && c.config.Seal != nil {
		err = c.file.Write(func() error { return c.config.Seal(tx) })
	}
	// Now the outcome is final: durable, not stored or unknown. We tell the steps only after publish has released all
	// locks. A step may wake its caller, and the caller may at once read the changes of the step.
	err = c.publish(tx, changed, err)
	for _, s := range steps {
		s.Done(err)
	}
	return left
}

// begin begins a transaction, and decides whether the commit writes the list of free pages.
func (c *Committer) begin() (*bbolt.Tx, error) {
	if c.ended != nil {
		return nil, c.ended
	}
	tx, err := c.file.Begin()
	if errors.Is(err, boltfile.ErrDamaged) { // the error names the file already
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.config.Path, err)
	}
	db := c.file.Bolt()
	stats := db.Stats()
	// bbolt reads this field only under the lock of the write transaction, which we hold.
	db.NoFreelistSync = stats.FreePageN+stats.PendingPageN > c.listFree
	return tx, nil
}

// publish ends the transaction and publishes the outcome. It holds publishing for the whole time. Otherwise somebody
// could see the changes in the file before the outcome is published.
func (c *Committer) publish(tx *bbolt.Tx, changed bool, err error) error {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	err = c.finish(tx, changed, err)
	if c.config.Publish != nil {
		c.config.Publish(err)
	}
	return err
}

// finish commits tx. It rolls tx back if there is nothing to commit, or if err says: the transaction has failed.
//
// A commit of bbolt has four steps. bbolt writes pages that are not in use yet, syncs, writes one meta page that refers
// to these pages, and syncs again.
//
// If a step up to the first sync fails, the old meta page stays in force. Then nothing is stored, and the caller may
// try again. If the second sync fails, the new meta page is in the page cache, and perhaps on the disk. After a crash
// the new state exists or does not exist. A later commit must not build on this state as if it were durable. So we make
// no more commits, and the operator has to open the file again. Opening shows what is stored.
//
// The number of the meta page in force tells the two cases apart: it is either the old number or the number of this
// transaction.
func (c *Committer) finish(tx *bbolt.Tx, changed bool, err error) error {
	if tx == nil {
		return err
	}
	if err != nil || !changed {
		c.file.Rollback(tx)
		return c.notStored(err)
	}
	id := tx.ID()
	if err = c.file.Write(func() error { return c.CommitTx(tx) }); err == nil {
		return nil
	}
	// bbolt has panicked in the middle of the commit, and has not ended the transaction. Without a rollback, the next
	// Begin would wait for ever.
	if errors.Is(err, boltfile.ErrDamaged) {
		c.file.Rollback(tx)
	}
	if now, viewErr := c.txID(); viewErr == nil && now < id {
		return c.notStored(err)
	}
	// The outcome is unknown, so this was the last commit.
	c.ended = fmt.Errorf("%s: the outcome of a commit is unknown: %w: %w", c.config.Path, ErrEnded, err)
	return fmt.Errorf("%s: %w: %w", c.config.Path, ErrUnknown, err)
}

// notStored wraps an error after which nothing is stored. A retry is safe, and may help unless the file is damaged.
func (c *Committer) notStored(err error) error {
	if err == nil || errors.Is(err, boltfile.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", c.config.Path, ErrNotStored, err)
}

// txID returns the number of the newest committed transaction.
func (c *Committer) txID() (id int, err error) {
	err = c.file.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	return id, err
}

// saveFreelist writes the list of free pages before the committer ends, if the commits have not written it because of
// its size. Then the next Open is quick. If saveFreelist fails, the next Open only takes longer, so we ignore the
// error.
func (c *Committer) saveFreelist() {
	if !c.file.Bolt().NoFreelistSync || c.ended != nil {
		return
	}
	_ = c.file.Update(func(*bbolt.Tx) error {
		c.file.Bolt().NoFreelistSync = false
		return nil
	})
}
