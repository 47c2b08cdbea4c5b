package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// HEADRACE_POSTGRES is the DSN of a PostgreSQL database that the tests may make schemas in; .ci/postgres starts one.
const postgresDSN = "HEADRACE_POSTGRES"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A medium is an empty database.
type medium struct {
	name    string
	dialect sqlstore.Dialect
	open    func(t testing.TB) (db *sql.DB, dsn string)
}

var media = []medium{
	{"SQLite", sqlstore.SQLite, openSQLite},
	{"PostgreSQL", sqlstore.PostgreSQL, openPostgres},
}

// openSQLite sets a long busy timeout. SQLite does not wait in turn: on a busy machine, one of many writers may wait for 10 s and more.
func openSQLite(t testing.TB) (*sql.DB, string) {
	dsn := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(60000)&_pragma=journal_mode(wal)&_txlock=immediate"
	return connect(t, "sqlite", dsn), dsn
}

// openPostgres makes a schema of its own for each test.
func openPostgres(t testing.TB) (*sql.DB, string) {
	dsn := os.Getenv(postgresDSN)
	if dsn == "" {
		t.Skipf("%s is not set: no PostgreSQL to test with", postgresDSN)
	}
	schema := "t" + strings.ToLower(rand.Text())
	admin := connect(t, "pgx", dsn)
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	dsn += " search_path=" + schema
	return connect(t, "pgx", dsn), dsn
}

func connect(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func each(t *testing.T, f func(t *testing.T, m medium)) {
	for _, m := range media {
		t.Run(m.name, func(t *testing.T) { f(t, m) })
	}
}

func (m medium) migrated(t testing.TB) *sql.DB {
	t.Helper()
	db, _ := m.open(t)
	if err := sqlstore.Migrate(t.Context(), db, m.dialect); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestContract(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		var db *sql.DB
		checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
			db = m.migrated(t)
			return sqlstore.New(db)
		}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store { return sqlstore.New(db) }))
	})
}

func TestMigrationsMayBeRepeatedAndRunAtOnce(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db, dsn := m.open(t)
		driver := map[string]string{"SQLite": "sqlite", "PostgreSQL": "pgx"}[m.name]
		var all sync.WaitGroup
		for range 8 { // each with a pool of its own, as processes have
			other := connect(t, driver, dsn)
			all.Go(func() {
				if err := sqlstore.Migrate(t.Context(), other, m.dialect); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		cp, err := sqlstore.New(db).Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := sqlstore.Migrate(t.Context(), db, m.dialect); err != nil {
			t.Error(err)
		}
		if again, err := sqlstore.New(db).Load(t.Context(), "k"); err != nil || again != cp {
			t.Errorf("after another migration: %v, %v, want %v", again, err, cp)
		}
	})
}

func TestSchemaOfANewerProgramIsRefused(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		if _, err := db.ExecContext(t.Context(), "UPDATE headrace_schema SET version = 1000"); err != nil {
			t.Fatal(err)
		}
		if err := sqlstore.Migrate(t.Context(), db, m.dialect); err == nil || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("%v", err)
		}
	})
}

func TestMissingTableSaysWhatToDo(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db, _ := m.open(t)
		_, err := sqlstore.New(db).Claim(t.Context(), "orders/billing")
		if err == nil || !strings.Contains(err.Error(), "sqlstore.Migrate") || !strings.Contains(err.Error(), "orders/billing") ||
			errors.Is(err, backend.ErrTransient) {
			t.Errorf("%v", err)
		}
	})
}

// withEffect counts in the transaction that saves.
func withEffect(ctx context.Context, db *sql.DB, s *sqlstore.Store, cp checkpoint.Checkpoint) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE effects SET n = n + 1"); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := s.SaveTx(ctx, tx, "k", cp); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func effects(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT n FROM effects").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func makeEffects(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, q := range []string{"CREATE TABLE effects (n BIGINT NOT NULL)", "INSERT INTO effects VALUES (0)"} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEffectAndCheckpointAreOneCommit(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		makeEffects(t, db)
		s := sqlstore.New(db)
		cp, err := s.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		cp.Offset = "1"
		if err := withEffect(t.Context(), db, s, cp); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Claim(t.Context(), "k"); err != nil { // another consumer takes over
			t.Fatal(err)
		}
		cp.Offset = "2"
		if err := withEffect(t.Context(), db, s, cp); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("an effect under an epoch that is over: %v", err)
		}
		if err := withEffect(t.Context(), db, s, checkpoint.Checkpoint{}); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("an effect with an empty checkpoint: %v", err)
		}
		if got, err := s.Load(t.Context(), "k"); err != nil || got.Offset != "1" || effects(t, db) != 1 {
			t.Errorf("%v, %v and %d effects; want offset 1 and one effect", got, err, effects(t, db))
		}
	})
}

// Whoever claims in between, every effect was committed under the epoch that was the current one.
func TestEveryEffectIsCommittedUnderTheCurrentEpoch(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		makeEffects(t, db)
		s := sqlstore.New(db)
		const consumers, each = 4, 20
		var done sync.WaitGroup
		committed := make([]int, consumers)
		for c := range consumers {
			done.Go(func() {
				for committed[c] < each {
					cp, err := s.Claim(t.Context(), "k")
					for err == nil && committed[c] < each {
						// The offset counts the effects of all: a stale one would be seen.
						n := 0
						if cp.Offset != "" {
							fmt.Sscan(string(cp.Offset), &n)
						}
						cp.Offset = backend.Offset(fmt.Sprint(n + 1))
						if err = withEffect(t.Context(), db, s, cp); err == nil {
							committed[c]++
						}
					}
					if !errors.Is(err, backend.ErrFenced) && !errors.Is(err, backend.ErrTransient) && err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		done.Wait()
		cp, err := s.Load(t.Context(), "k")
		if n := effects(t, db); err != nil || n != consumers*each || string(cp.Offset) != fmt.Sprint(n) {
			t.Errorf("%d effects, checkpoint %v, %v; want %d of both", n, cp, err, consumers*each)
		}
	})
}

func TestTransactionOfPgx(t *testing.T) {
	db, dsn := openPostgres(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	s := sqlstore.New(db)
	cp, err := s.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "7"
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	save := func() error {
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			return sqlstore.SavePgx(t.Context(), s, tx, "k", cp)
		})
	}
	if err := save(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Claim(t.Context(), "k"); err != nil || got.Offset != "7" {
		t.Errorf("%v, %v", got, err)
	}
	if err := save(); !errors.Is(err, backend.ErrFenced) {
		t.Errorf("under an epoch that is over: %v", err)
	}
}

// A transaction of pgx saves under a key of a group while the lease is valid, and not after that.
func TestTransactionOfPgxNeedsAValidLease(t *testing.T) {
	db, dsn := openPostgres(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	leases := sqlstore.NewLeases(db, sqlstore.PostgreSQL)
	cp, ok, err := leases.Acquire(t.Context(), "g", "a", "s", time.Hour)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	cp.Offset = "7"
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	save := func() error {
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			return sqlstore.SavePgx(t.Context(), leases.Store, tx, "s/g", cp)
		})
	}
	if err := save(); err != nil {
		t.Errorf("under the lease: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE headrace_leases SET expires_at = 0"); err != nil {
		t.Fatal(err)
	}
	if err := save(); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrFenced) {
		t.Errorf("after the lease: %v, want ErrTransient", err)
	}
}

func TestOutageIsTransient(t *testing.T) {
	if os.Getenv(postgresDSN) == "" {
		t.Skipf("%s is not set: no PostgreSQL driver to fail", postgresDSN)
	}
	s := sqlstore.New(connect(t, "pgx", "host=127.0.0.1 port=1 user=nobody connect_timeout=5"))
	if _, err := s.Claim(t.Context(), "k"); !errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v, want a failure that may pass", err)
	}
}

func TestClassifyTellsWhatMayPass(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db := m.migrated(t)
		_, wrong := db.ExecContext(t.Context(), "SELECT nothing FROM nowhere")
		if err := sqlstore.Classify(wrong); err != wrong || err == nil || errors.Is(err, backend.ErrTransient) {
			t.Errorf("a wrong statement: %v", err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		_, passes := db.ExecContext(ended, "SELECT 1")
		if err := sqlstore.Classify(passes); !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.Canceled) {
			t.Errorf("an interrupted statement: %v", err)
		}
		if err := sqlstore.Classify(nil); err != nil {
			t.Errorf("no error: %v", err)
		}
	})
}

// Without WAL, a COMMIT of SQLite waits for readers and fails after the busy timeout. The transaction stays open then.
func TestMigrationThatCannotCommitLeavesNoTransactionOpen(t *testing.T) {
	dsn := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(20)"
	connect := func() *sql.DB {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		db.SetMaxOpenConns(1) // what follows Migrate gets the connection of Migrate
		return db
	}
	db, other := connect(), connect()
	if _, err := other.ExecContext(t.Context(), "CREATE TABLE orders (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	reading, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.SQLite); err == nil {
		t.Fatal("Migrate committed beside a reader")
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatalf("begin after Migrate: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Errorf("the second Migrate: %v", err)
	}
}

func TestProgramWithoutTheRightToMakeTablesMigratesNothing(t *testing.T) {
	db, dsn := openPostgres(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	_, schema, _ := strings.Cut(dsn, "search_path=")
	role := "r" + schema
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE ROLE %[1]s LOGIN; GRANT USAGE ON SCHEMA %[2]s TO %[1]s;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %[2]s TO %[1]s; REVOKE INSERT, UPDATE ON headrace_schema FROM %[1]s`, role, schema)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	limited := connect(t, "pgx", dsn+" user="+role)
	if err := sqlstore.Migrate(t.Context(), limited, sqlstore.PostgreSQL); err != nil {
		t.Error(err)
	}
	if _, err := sqlstore.New(limited).Claim(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestMigrationsRunAtOnceWhateverTheIsolationIs(t *testing.T) {
	_, dsn := openPostgres(t)
	var all sync.WaitGroup
	for range 8 {
		other := connect(t, "pgx", dsn+" default_transaction_isolation=serializable")
		all.Go(func() {
			if err := sqlstore.Migrate(t.Context(), other, sqlstore.PostgreSQL); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// As after a failover, when a connection ends at the server that only reads now.
func TestReadOnlyServerIsTransient(t *testing.T) {
	db, dsn := openPostgres(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}
	s := sqlstore.New(connect(t, "pgx", dsn+" default_transaction_read_only=on"))
	if _, err := s.Claim(t.Context(), "k"); !errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v, want a failure that may pass", err)
	}
}

func TestWrongDialectSaysSo(t *testing.T) {
	each(t, func(t *testing.T, m medium) {
		db, _ := m.open(t)
		other := sqlstore.SQLite
		if m.name == "SQLite" {
			other = sqlstore.PostgreSQL
		}
		_, _, err := sqlstore.NewLeases(db, sqlstore.Dialect{}).Acquire(t.Context(), "g", "m", "s", time.Second)
		_, renewal := sqlstore.NewLeases(db, sqlstore.Dialect{}).Renew(t.Context(), "g", "m", []string{"s"}, time.Second)
		for _, err := range []error{err, renewal, sqlstore.Migrate(t.Context(), db, sqlstore.Dialect{}), sqlstore.Migrate(t.Context(), db, other)} {
			if err == nil || !strings.Contains(err.Error(), "sqlstore.PostgreSQL or sqlstore.SQLite") || errors.Is(err, backend.ErrTransient) {
				t.Errorf("%v", err)
			}
		}
	})
}
