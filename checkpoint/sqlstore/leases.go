package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer/group/lease"
)

// Leases is a [lease.Store]: a [Store] with leases, by which the members of a group share streams. Many goroutines and
// many processes may use it. The clock of the database decides when a lease ends.
type Leases struct {
	*Store
	dialect Dialect
}

var _ lease.Store = (*Leases)(nil)

// NewLeases makes the leases in db. The caller closes db. [Migrate] must have made the tables.
func NewLeases(db *sql.DB, d Dialect) *Leases { return &Leases{New(db), d} }

// errHeld rolls an acquisition back, because another member holds the lease.
var errHeld = errors.New("the lease is held")

// Acquire implements [lease.Store].
func (l *Leases) Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (cp checkpoint.Checkpoint, ok bool, err error) {
	if err := begin(ctx, l.dialect.check(), checkLease(group, member, stream), lease.CheckTTL(ttl)); err != nil {
		return cp, false, failed("acquire", stream, err)
	}
	// Most attempts end here. Without this query, every attempt would wait for the owner's transactions with SaveTx.
	var held bool
	if err = l.locate(ctx); err == nil {
		err = l.db.QueryRowContext(ctx, l.sql(l.dialect.heldSQL), group, stream, member).Scan(&held)
	}
	if err == nil && !held {
		// One transaction raises the epoch and takes the lease. With the lease alone, the earlier owner could still
		// save. With the epoch alone, the next member would find no valid lease, and would take the stream away at
		// once.
		err = l.inTx(ctx, func(tx *sql.Tx) (err error) {
			// The checkpoint comes first, because claim may wait for a transaction of the earlier owner. If we held the
			// row of the lease while waiting, the owner could not renew its other leases.
			if cp, err = l.claim(ctx, tx, lease.Key(group, stream)); err != nil {
				return err
			}
			res, err := tx.ExecContext(ctx, l.sql(l.dialect.acquireSQL), group, stream, member, ttl.Milliseconds())
			if err != nil {
				return err
			}
			// The statement changes no row while the lease of another member is valid.
			n, err := res.RowsAffected()
			// Another member may have taken the lease since the first query. The rollback also takes back the raised
			// epoch. Otherwise an attempt without success would fence the owner of a valid lease.
			if err == nil && n == 0 {
				err = errHeld
			}
			return err
		})
		// The caller sees a lease that is held, and no error: to find a lease held is the usual result of an attempt.
		held = errors.Is(err, errHeld)
	}
	if err != nil && !held {
		return checkpoint.Checkpoint{}, false, failed("acquire", stream, err)
	}
	if held {
		return checkpoint.Checkpoint{}, false, nil
	}
	return cp, true, nil
}

// Renew implements [lease.Store].
func (l *Leases) Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (s lease.State, err error) {
	if err := begin(ctx, l.dialect.check(), checkLease(group, member, streams...), lease.CheckTTL(ttl)); err != nil {
		return s, failed("renew", group, err)
	}
	names, err := json.Marshal(append([]string{}, streams...)) // an empty list, never null
	if err != nil {
		return s, failed("renew", group, err)
	}
	err = l.inTx(ctx, func(tx *sql.Tx) error {
		// The write comes first, so that SQLite waits for its turn before the transaction reads. A transaction that
		// reads first may be unable to write, if another process has written in between.
		if _, err := tx.ExecContext(ctx, l.sql(l.dialect.joinSQL), group, member, ttl.Milliseconds()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, l.sql(l.dialect.renewSQL), ttl.Milliseconds(), group, member, string(names)); err != nil {
			return err
		}
		// Members clean up in passing, because the database has no job of its own that does it.
		for _, old := range []string{l.dialect.oldMembersSQL, l.dialect.oldLeasesSQL} {
			if _, err := tx.ExecContext(ctx, l.sql(old), group); err != nil {
				return err
			}
		}
		// The state is read behind the writes, so it contains this member and the renewed leases.
		s, err = l.state(ctx, tx, group)
		return err
	})
	if err != nil {
		return lease.State{}, failed("renew", group, err)
	}
	return s, nil
}

// Release implements [lease.Store].
func (l *Leases) Release(ctx context.Context, group, member, stream string) error {
	if err := begin(ctx, checkLease(group, member, stream)); err != nil {
		return failed("release", stream, err)
	}
	if _, err := l.db.ExecContext(ctx, l.sql(releaseSQL), group, member, stream); err != nil {
		return failed("release", stream, err)
	}
	return nil
}

// Leave implements [lease.Store].
func (l *Leases) Leave(ctx context.Context, group, member string) error {
	if err := begin(ctx, checkLease(group, member)); err != nil {
		return failed("leave", group, err)
	}
	err := l.inTx(ctx, func(tx *sql.Tx) error {
		// Both deletions are one commit. If only the member went, its streams would stay without an owner until their
		// leases end.
		_, err := tx.ExecContext(ctx, l.sql(leaveSQL), group, member)
		if err == nil {
			_, err = tx.ExecContext(ctx, l.sql(releaseAllSQL), group, member)
		}
		return err
	})
	if err != nil {
		return failed("leave", group, err)
	}
	return nil
}

// Members implements [lease.Store].
func (l *Leases) Members(ctx context.Context, group string) (lease.State, error) {
	if err := begin(ctx, l.dialect.check(), lease.CheckGroup(group), checkText("group", group)); err != nil {
		return lease.State{}, failed("members", group, err)
	}
	s, err := l.state(ctx, l.db, group)
	if err != nil {
		return lease.State{}, failed("members", group, err)
	}
	return s, nil
}

// SaveTx is [Store.SaveTx], and saves only while the lease on the stream is valid by the clock of the database. After
// that it fails with [backend.ErrTransient]: if no other member has acquired the lease, the stream goes on after the next
// renewal. From SaveTx to the end of tx no other member can acquire the lease, however long tx takes.
//
// A stream stands still while a member that was suspended keeps such a transaction open. PostgreSQL ends the transaction
// if idle_in_transaction_session_timeout is set; the time of a lease is a good value.
//
// The search_path of tx does not matter, because Acquire has found the schema of the tables.
func (l *Leases) SaveTx(ctx context.Context, tx Tx, key string, cp checkpoint.Checkpoint) error {
	if err := begin(ctx, l.dialect.check(), checkSave(key, cp)); err != nil {
		return failed("save", key, err)
	}
	// The UPDATE locks the row of the checkpoint until the end of tx. Acquire raises the epoch in the same row, so
	// Acquire waits for tx. Without this wait, another member could begin at the old offset while tx commits the
	// effect.
	res, err := tx.ExecContext(ctx, l.sql(l.dialect.saveSQL), saveArgs(key, cp)...)
	if err != nil {
		return failed("save", key, err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		var stored checkpoint.Checkpoint
		// The statement does not say which of its conditions has failed. The epoch in the row tells the two reasons
		// apart: another member has the stream, or only the time of the lease is over.
		if stored, err = l.load(ctx, tx, key); err == nil {
			err = notSaved(stored, cp)
		}
	}
	if err != nil {
		return failed("save", key, err)
	}
	return nil
}

// saveArgs returns the arguments of the saveSQL of a dialect.
func saveArgs(key string, cp checkpoint.Checkpoint) []any {
	// A key without a slash is not of a group. No lease has an empty group, so the condition on the lease then always
	// holds.
	stream, group := key, ""
	if i := strings.LastIndexByte(key, '/'); i >= 0 { // the reverse of lease.Key
		stream, group = key[:i], key[i+1:]
	}
	return []any{string(cp.Offset), aheadColumn(cp), key, int64(cp.Epoch), group, stream}
}

// notSaved returns why the saveSQL of a dialect changed no row.
func notSaved(stored, cp checkpoint.Checkpoint) error {
	if err := checkpoint.Fence(stored, cp); err != nil {
		return err
	}
	return fmt.Errorf("%w: the lease on the stream is over by the clock of the database", backend.ErrTransient)
}

// state reads the members and the leases of a group.
func (l *Leases) state(ctx context.Context, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, group string) (s lease.State, err error) {
	s.Owners = make(map[string]string)
	rows, err := q.QueryContext(ctx, l.sql(l.dialect.stateSQL), group)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var member, stream string
		if err := rows.Scan(&stream, &member); err != nil {
			return s, err
		}
		if stream == "" { // a row of a member, because no stream has an empty name
			s.Members = append(s.Members, member)
		} else {
			s.Owners[stream] = member
		}
	}
	slices.Sort(s.Members) // the order of the database may differ
	return s, rows.Err()
}

// inTx runs f in a transaction, and rolls it back if f fails.
func (l *Leases) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func checkLease(group, member string, streams ...string) error {
	err := errors.Join(lease.Check(group, member, streams...), checkText("group", group), checkText("member", member))
	for _, s := range streams {
		err = errors.Join(err, checkText("stream", s))
	}
	return err
}
