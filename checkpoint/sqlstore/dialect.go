package sqlstore

// A Dialect says which database a Store works with. All statements but those that follow are the same for both.
type Dialect struct {
	name   string
	begin  string // starts a transaction that no other process writes beside
	schema []migration
	leaseSQL
}

// A migration changes the schema from the version before it.
type migration []string

var (
	// PostgreSQL is version 12 and later.
	PostgreSQL = Dialect{
		name: "PostgreSQL",
		// The lock is for two processes that migrate at once: CREATE TABLE IF NOT EXISTS of both may fail for one of them.
		// Its number is "headrace" in ASCII, cut to 63 bits.
		// A stricter level would show what was there before the lock.
		begin:  "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7522535908310049637)",
		schema: schema("TIMESTAMPTZ", "BYTEA"),
		// now() would be the beginning of the transaction, which may have waited for others.
		leaseSQL: leaseStatements("CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)", "SELECT jsonb_array_elements_text(CAST(CAST($4 AS TEXT) AS JSONB))"),
	}

	// SQLite is version 3.35 and later.
	SQLite = Dialect{
		name: "SQLite", begin: "BEGIN IMMEDIATE", schema: schema("TEXT", "BLOB"),
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
		// NULL: no record behind the offset is done.
		`ALTER TABLE headrace_checkpoints ADD COLUMN ahead ` + bytes,
	}}
}

// The statements of a Store. A Claim must read and raise the epoch in one step, or two consumers could get the same one.
const (
	loadSQL  = `SELECT stream_offset, epoch, ahead FROM headrace_checkpoints WHERE checkpoint_key = $1`
	keysSQL  = `SELECT checkpoint_key FROM headrace_checkpoints`
	claimSQL = `INSERT INTO headrace_checkpoints AS c (checkpoint_key, stream_offset, epoch, updated_at) VALUES ($1, '', 1, CURRENT_TIMESTAMP)
		ON CONFLICT (checkpoint_key) DO UPDATE SET epoch = c.epoch + 1, updated_at = CURRENT_TIMESTAMP WHERE c.epoch < 9223372036854775807
		RETURNING stream_offset, epoch, ahead`
	saveSQL = `UPDATE headrace_checkpoints SET stream_offset = $1, ahead = $4, updated_at = CURRENT_TIMESTAMP WHERE checkpoint_key = $2 AND epoch = $3`
)
