package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/consumer/group/lease/leasetest"
)

func TestLeasesContract(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		leasetest.Run(t, func(t *testing.T) lease.Store { return sqlstore.NewLeases(m.migrated(t), m.dialect) })
	})
}

func TestLeasesAreACheckpointStore(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return sqlstore.NewLeases(m.migrated(t), m.dialect) })
	})
}

// An acquisition waits for a transaction that has saved under the lease before, and no such transaction commits after it.
func TestAcquireWaitsForTheEffectsOfTheOwnerBefore(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		makeEffects(t, db)
		leases := sqlstore.NewLeases(db, m.dialect)
		key := lease.Key("g", "s")
		var tx *sql.Tx
		var cp checkpoint.Checkpoint
		// The lease must outlast SaveTx, and must then expire.
		for ttl := 20 * time.Millisecond; ; ttl *= 2 {
			var ok bool
			var err error
			if cp, ok, err = leases.Acquire(t.Context(), "g", "a", "s", ttl); err != nil || !ok {
				t.Fatal(ok, err)
			}
			cp.Offset = "1"
			if tx, err = db.BeginTx(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err = tx.ExecContext(t.Context(), "UPDATE effects SET n = n + 1"); err != nil {
				t.Fatal(err)
			}
			if err = leases.SaveTx(t.Context(), tx, key, cp); err == nil {
				break
			}
			if err = errors.Join(err, tx.Rollback()); !errors.Is(err, backend.ErrTransient) {
				t.Fatal(err)
			}
		}
		acquired := make(chan error, 1)
		go func() {
			for {
				_, ok, err := leases.Acquire(t.Context(), "g", "b", "s", time.Hour)
				if err != nil || ok {
					acquired <- err
					return
				}
			}
		}()
		if cp, err := leases.Load(t.Context(), key); err != nil || cp.Offset != "" {
			t.Errorf("before the commit: %v, %v", cp, err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-acquired; err != nil {
			t.Fatal(err)
		}
		if got, err := leases.Load(t.Context(), key); err != nil || got.Offset != "1" || got.Epoch != cp.Epoch+1 {
			t.Errorf("after the acquisition: %v, %v", got, err)
		}
		if err := leases.Save(t.Context(), key, cp); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("a save of the owner before: %v", err)
		}
	})
}

// A database that an older version of this package has migrated keeps its checkpoints, and says what it lacks.
func TestOldSchemaIsBroughtUpToDate(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		for _, q := range []string{
			"DROP TABLE headrace_leases", "DROP TABLE headrace_members", "DROP TABLE headrace_checkpoints",
			"CREATE TABLE headrace_checkpoints (checkpoint_key TEXT PRIMARY KEY, stream_offset TEXT NOT NULL, epoch BIGINT NOT NULL, updated_at " +
				map[string]string{"SQLite": "TEXT", "PostgreSQL": "TIMESTAMPTZ"}[m.name] + " NOT NULL)",
			"INSERT INTO headrace_checkpoints VALUES ('s/g', '7', 3, CURRENT_TIMESTAMP)",
			"UPDATE headrace_schema SET version = 1",
		} {
			if _, err := db.ExecContext(t.Context(), q); err != nil {
				t.Fatal(q, err)
			}
		}
		leases := sqlstore.NewLeases(db, m.dialect)
		_, err := leases.Renew(t.Context(), "g", "a", nil, time.Hour)
		if err == nil || !strings.Contains(err.Error(), "sqlstore.Migrate") || errors.Is(err, backend.ErrTransient) {
			t.Errorf("with the old schema: %v", err)
		}
		if err := sqlstore.Migrate(t.Context(), db, m.dialect); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := leases.Acquire(t.Context(), "g", "a", "s", time.Hour); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if cp, err := leases.Load(t.Context(), "s/g"); err != nil || cp.Offset != "7" || cp.Epoch != 4 {
			t.Errorf("%v, %v: the checkpoint is lost", cp, err)
		}
	})
}

// Processes come and go under new names. Their rows go after a day.
func TestRowsOfFormerMembersGo(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		leases := sqlstore.NewLeases(db, m.dialect)
		for _, member := range []string{"dead", "alive"} {
			if _, err := leases.Renew(t.Context(), "g", member, nil, time.Hour); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := leases.Acquire(t.Context(), "g", member, "stream of "+member, time.Hour); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		for _, table := range []string{"headrace_members", "headrace_leases"} {
			if _, err := db.ExecContext(t.Context(), "UPDATE "+table+" SET expires_at = expires_at - 100000000 WHERE member = 'dead'"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := leases.Renew(t.Context(), "g", "alive", nil, time.Hour); err != nil {
			t.Fatal(err)
		}
		var rows int
		err := db.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM headrace_members) + (SELECT COUNT(*) FROM headrace_leases)").Scan(&rows)
		if err != nil || rows != 2 {
			t.Errorf("%d rows, %v, want those of the member that is alive", rows, err)
		}
	})
}

// An effect that is committed with its checkpoint happens under a valid lease: after the time of the lease nothing is
// saved, although nobody else has acquired the lease.
func TestSaveTxNeedsAValidLease(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		leases := sqlstore.NewLeases(db, m.dialect)
		key := lease.Key("g", "a/stream")
		cp, ok, err := leases.Acquire(t.Context(), "g", "a", "a/stream", time.Hour)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		save := func(offset backend.Offset) error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			cp.Offset = offset
			if err := leases.SaveTx(t.Context(), tx, key, cp); err != nil {
				return err
			}
			return tx.Commit()
		}
		if err := save("1"); err != nil {
			t.Errorf("under the lease: %v", err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE headrace_leases SET expires_at = expires_at - 7200000"); err != nil {
			t.Fatal(err)
		}
		if err := save("2"); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrFenced) || !strings.Contains(err.Error(), "the lease on the stream is over") {
			t.Errorf("after the lease: %v, want ErrTransient", err)
		}
		if got, err := leases.Load(t.Context(), key); err != nil || got.Offset != "1" {
			t.Errorf("%v, %v, want the checkpoint of before", got, err)
		}
		if _, err := leases.Renew(t.Context(), "g", "a", []string{"a/stream"}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := save("3"); err != nil {
			t.Errorf("after a renewal: %v", err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE headrace_leases SET expires_at = expires_at - 7200000"); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := leases.Acquire(t.Context(), "g", "b", "a/stream", time.Hour); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := save("4"); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("under the lease of another member: %v, want ErrFenced", err)
		}
	})
}

// A member of a group that loses its lease ends the ctx of a transaction. The member must go on with its other streams.
func TestTransactionWhoseContextHasEndedIsTransient(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		ctx, cancel := context.WithCancel(t.Context())
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		for !errors.Is(err, sql.ErrTxDone) { // database/sql rolls back soon
			_, err = tx.ExecContext(t.Context(), "SELECT 1")
		}
		if err := sqlstore.Classify(tx.Commit()); !errors.Is(err, backend.ErrTransient) {
			t.Errorf("commit: %v", err)
		}
		cp := checkpoint.Checkpoint{Offset: "1", Epoch: 1}
		if err := sqlstore.New(db).SaveTx(t.Context(), tx, "k", cp); !errors.Is(err, backend.ErrTransient) {
			t.Errorf("save: %v", err)
		}
	})
}
