package sqlstore

import (
	"fmt"

	"github.com/headrace/headrace/backend"
)

// A Dialect says which database a Store works with. The two databases share all statements except the statements here.
type Dialect struct {
	begin  string // starts a transaction during which no other process migrates
	schema []migration
	leaseSQL
}

// check refuses a zero Dialect, whose statements are empty: SQLite runs an empty statement without an error.
func (d Dialect) check() error {
	if d.begin == "" {
		return fmt.Errorf("%w: the Dialect is zero: use sqlstore.PostgreSQL or sqlstore.SQLite", backend.ErrRejected)
	}
	return nil
}

// A migration is a list of statements that bring the schema from the version before to the next version.
type migration []string

var (
	// PostgreSQL is version 12 and later.
	PostgreSQL = Dialect{
		// The lock is for processes that migrate at the same time: if two of them run CREATE TABLE IF NOT EXISTS, one
		// of them may fail. The number of the lock is "headrace" in ASCII, cut to 63 bits.
		begin:  "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7522535908310049637)",
		schema: schema("TIMESTAMPTZ", "BYTEA"),
		// now() would be the beginning of the transaction. But the transaction may have waited for others, and a lease
		// would be too short.
		leaseSQL: leaseStatements("CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)", "SELECT jsonb_array_elements_text(CAST(CAST($4 AS TEXT) AS JSONB))"),
	}

	// SQLite is version 3.35 and later.
	SQLite = Dialect{
		begin: "BEGIN IMMEDIATE", schema: schema("TEXT", "BLOB"),
		leaseSQL: leaseStatements("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", "SELECT value FROM json_each($4)"),
	}
)

func schema(timestamp, bytes string) []migration {
	return []migration{{
		`CREATE TABLE headrace_checkpoints (
			checkpoint_key TEXT PRIMARY KEY,
			stream_offset TEXT NOT NULL,
			epoch BIGINT NOT NULL,
			updated_at ` + timestamp + ` NOT NULL
		)`,
	}, leaseTables, {
		// NULL means: no record behind the offset is done.
		`ALTER TABLE headrace_checkpoints ADD COLUMN ahead ` + bytes,
	}}
}

// The statements of a Store. A Claim must read and raise the epoch in one step. Otherwise two consumers could get the
// same epoch.
//
// claimSQL changes no row at the highest epoch: SQLite would turn the sum into a floating-point number. The claim
// locks the row, so it waits for a transaction that has saved under the key, and then returns the saved offset.
//
// saveSQL never makes a row, and needs exactly the epoch of the claim. A Save with a lower epoch comes from a consumer that
// was replaced. A Save with a higher epoch comes from a claim of another store.
const (
	loadSQL  = `SELECT stream_offset, epoch, ahead FROM headrace_checkpoints WHERE checkpoint_key = $1`
	keysSQL  = `SELECT checkpoint_key FROM headrace_checkpoints`
	claimSQL = `INSERT INTO headrace_checkpoints AS c (checkpoint_key, stream_offset, epoch, updated_at) VALUES ($1, '', 1, CURRENT_TIMESTAMP)
		ON CONFLICT (checkpoint_key) DO UPDATE SET epoch = c.epoch + 1, updated_at = CURRENT_TIMESTAMP WHERE c.epoch < 9223372036854775807
		RETURNING stream_offset, epoch, ahead`
	saveSQL = `UPDATE headrace_checkpoints SET stream_offset = $1, ahead = $4, updated_at = CURRENT_TIMESTAMP WHERE checkpoint_key = $2 AND epoch = $3`
)
