package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// A busyFile opens connections of db, but says for the first refusals attempts that SQLite's file is locked.
type busyFile struct {
	db       *sql.DB
	dsn      string
	refusals int
	attempts int
}

type errBusy struct{}

func (errBusy) Error() string { return "database is locked" }
func (errBusy) Code() int     { return 5 }

func (f *busyFile) Driver() driver.Driver { return f.db.Driver() }

func (f *busyFile) Connect(context.Context) (driver.Conn, error) {
	if f.attempts++; f.attempts <= f.refusals {
		return nil, errBusy{}
	}
	return f.db.Driver().Open(f.dsn)
}

func TestMigrationWaitsForAFileThatAnotherProcessOpens(t *testing.T) {
	db, dsn := openSQLite(t)
	file := &busyFile{db: db, dsn: dsn, refusals: 3}
	pool := sql.OpenDB(file)
	defer pool.Close()
	if err := sqlstore.Migrate(t.Context(), pool, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.New(db).Claim(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestMigrationGivesUpOnAFileThatStaysLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := sql.OpenDB(&busyFile{refusals: 1 << 30})
		defer pool.Close()
		begin := time.Now()
		err := sqlstore.Migrate(t.Context(), pool, sqlstore.SQLite)
		if !errors.Is(err, backend.ErrTransient) || !errors.As(err, new(errBusy)) {
			t.Errorf("Migrate: %v, want a transient error with its cause", err)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("Migrate gave up after %v, want 5 to 10 s", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := sqlstore.Migrate(ctx, pool, sqlstore.SQLite); err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("Migrate: %v after %v, want an error when ctx ends", err, time.Since(begin))
		}
	})
}
