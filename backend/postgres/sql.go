package postgres

import (
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// A record's turn is its place in the order of all transactions. The turn is the number of the record's own
// transaction, or the number of a later transaction that had ended at the append. So a record is behind all records
// that were committed before its append. When no running transaction has a number at or below a record's turn, readers
// may see the record: every later commit has a higher turn.
//
// headrace_schema holds the base that is added to the server's transaction numbers. The base is not 0 if the tables
// were moved to a server with lower numbers.
const (
	turnBase     = `(SELECT version FROM headrace_schema WHERE component = 'turns')`
	thisTurn     = `(greatest(pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) + ` + turnBase + `)`
	firstRunning = `(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + ` + turnBase + `)`
	// now does not use extract: extract computes with NUMERIC, which takes the server 1 us more.
	now = `((date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000)`
)

// migrations holds, at each index, the statements from this version of the schema to the next.
//
// The second migration turns the batches of a producer into a ring of slots: see appendOneSQL. The fill factor leaves
// room in each page, so that the next version of a row comes into the same page, and the index stays as it is.
var migrations = []string{`
	CREATE TABLE headrace_streams (
		id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name TEXT NOT NULL UNIQUE,
		content_type TEXT NOT NULL DEFAULT '',
		sealed BOOLEAN NOT NULL DEFAULT FALSE,
		trim_turn BIGINT NOT NULL DEFAULT 0, trim_batch BIGINT NOT NULL DEFAULT 0, trim_no INT NOT NULL DEFAULT 0
	);
	CREATE SEQUENCE headrace_batch_no;
	CREATE TABLE headrace_records (
		stream BIGINT NOT NULL, turn BIGINT NOT NULL, batch BIGINT NOT NULL, no INT NOT NULL,
		value BYTEA NOT NULL, headers BYTEA, at BIGINT NOT NULL,
		PRIMARY KEY (stream, turn, batch, no)
	);
	CREATE TABLE headrace_batches (
		stream BIGINT NOT NULL, producer TEXT NOT NULL, seq BIGINT NOT NULL,
		hash BYTEA NOT NULL, turn BIGINT NOT NULL, batch BIGINT NOT NULL, at BIGINT NOT NULL, named BOOLEAN NOT NULL,
		PRIMARY KEY (stream, producer, seq)
	);
	INSERT INTO headrace_schema (component, version) VALUES ('turns', 0);
`, `
	ALTER TABLE headrace_batches ADD COLUMN slot INT, ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT FALSE;
	UPDATE headrace_batches b SET slot = b.seq % 32, sealed = s.sealed FROM headrace_streams s WHERE s.id = b.stream;
	DELETE FROM headrace_batches WHERE slot IS NULL;
	DELETE FROM headrace_batches a USING headrace_batches b
		WHERE a.stream = b.stream AND a.producer = b.producer AND a.slot = b.slot AND a.seq < b.seq;
	ALTER TABLE headrace_batches ALTER COLUMN slot SET NOT NULL, DROP CONSTRAINT BATCHES_KEY;
	ALTER TABLE headrace_batches ADD PRIMARY KEY (stream, producer, slot);
	ALTER TABLE headrace_batches SET (fillfactor = 50);
`}

// Statements that make and check the tables.
const (
	// behindSQL returns how far the turns in the tables are ahead of the server's numbers. The result is 0 or less,
	// unless the tables come from another server.
	behindSQL = `SELECT GREATEST(
			(SELECT max(trim_turn) FROM headrace_streams),
			(SELECT max(r.turn) FROM headrace_streams s, LATERAL (
				SELECT turn FROM headrace_records WHERE stream = s.id ORDER BY turn DESC LIMIT 1) r), 0)
		- pg_snapshot_xmax(pg_current_snapshot())::text::bigint - ` + turnBase + ` + 1`
	versionSQL  = `SELECT version FROM headrace_schema WHERE component = 'streams'`
	raiseSQL    = `UPDATE headrace_schema SET version = version + $1 WHERE component = 'turns'`
	lockSQL     = `LOCK TABLE headrace_records IN SHARE MODE`
	startSQL    = `INSERT INTO headrace_schema (component, version) VALUES ('streams', 0) ON CONFLICT DO NOTHING`
	migratedSQL = `UPDATE headrace_schema SET version = $1 WHERE component = 'streams'`
)

const (
	findSQL   = `SELECT id, content_type, sealed FROM headrace_streams WHERE name = $1`
	createSQL = `INSERT INTO headrace_streams (name) VALUES ($1) ON CONFLICT DO NOTHING`
	// The collation makes the order that of the bytes, whatever the collation of the database is.
	namesSQL  = `SELECT name FROM headrace_streams ORDER BY name COLLATE "C"`
	formatSQL = `UPDATE headrace_streams SET content_type = $2 WHERE id = $1 AND content_type = ''`
)

const (
	// lockStreamSQL waits for all transactions that have appended to the stream.
	//
	// Seal needs lockStreamSQL in front of sealSQL. The UPDATE of sealSQL changes no key, so the UPDATE alone would
	// not wait for appends, and records could still be committed behind the end that readers have seen.
	//
	// appendOneSQL does not lock the row of the stream, so lockStreamSQL does not wait for appendOneSQL. sealBatchesSQL
	// waits: both change the row of a slot. A slot that is new after lockStreamSQL does not exist, because appendSQL makes
	// slots, and waits for the lock.
	//
	// notifySQL has no payload and wakes the readers of all streams, because Seal knows the name of its stream and
	// not the number.
	lockStreamSQL  = `SELECT id FROM headrace_streams WHERE name = $1 FOR UPDATE`
	sealSQL        = `UPDATE headrace_streams SET sealed = TRUE WHERE name = $1`
	sealBatchesSQL = `UPDATE headrace_batches SET sealed = TRUE WHERE stream = (SELECT id FROM headrace_streams WHERE name = $1)`
	notifySQL      = `SELECT pg_notify('headrace', '')`

	lastBeforeSQL = `SELECT turn, batch, no FROM headrace_records WHERE stream = $1 AND (turn, batch, no) < ($2, $3, $4)
		ORDER BY turn DESC, batch DESC, no DESC LIMIT 1`
	// trimSQL moves the place only forward. Two Trims may run at the same time, and the Trim that ends later may have
	// the earlier place.
	trimSQL = `UPDATE headrace_streams SET trim_turn = $2, trim_batch = $3, trim_no = $4
		WHERE id = $1 AND (trim_turn, trim_batch, trim_no) < ($2, $3, $4)`
	dropSQL = `DELETE FROM headrace_records WHERE stream = $1 AND (turn, batch, no) < ($2, $3, $4)`

	// Delete runs these statements in this order. deleteBatchesSQL waits for each appendOneSQL that has changed a slot, and
	// deleteRecordsSQL then sees the records of that append. In the other order, the records would stay for ever.
	deleteStreamSQL  = `DELETE FROM headrace_streams WHERE id = $1`
	deleteBatchesSQL = `DELETE FROM headrace_batches WHERE stream = $1`
	deleteRecordsSQL = `DELETE FROM headrace_records WHERE stream = $1`
)

const (
	// viewSQL returns two ends of the stream. c is the last committed record: Latest is behind c. r is the last record
	// that readers may see: a Trim must not pass r, because an older transaction may still commit records in front of
	// c.
	viewSQL = `SELECT s.id, s.sealed, s.trim_turn, s.trim_batch, s.trim_no, c.turn, c.batch, c.no, r.turn, r.batch, r.no
		FROM headrace_streams s LEFT JOIN LATERAL (
			SELECT turn, batch, no FROM headrace_records WHERE stream = s.id ORDER BY turn DESC, batch DESC, no DESC LIMIT 1) c ON TRUE
		LEFT JOIN LATERAL (
			SELECT turn, batch, no FROM headrace_records WHERE stream = s.id AND turn < ` + firstRunning + `
			ORDER BY turn DESC, batch DESC, no DESC LIMIT 1) r ON TRUE
		WHERE s.name = $1`
	// existsSQL accepts the place of a record and the place behind a record. The second is where a consumer stops at
	// the end of an append, and no record needs to be there.
	existsSQL = `SELECT EXISTS (SELECT FROM headrace_records WHERE stream = $1 AND turn = $2 AND batch = $3 AND no BETWEEN $4 - 1 AND $4)`
	lastNSQL  = `SELECT turn, batch, no FROM headrace_records WHERE stream = $1 AND (turn, batch, no) < ($2, $3, $4)
		ORDER BY turn DESC, batch DESC, no DESC OFFSET $5 LIMIT 1`
	sinceSQL = `SELECT turn, batch, no FROM headrace_records WHERE stream = $1 AND (turn, batch, no) < ($2, $3, $4) AND at >= $5
		ORDER BY turn, batch, no LIMIT 1`

	// readSQL returns the state of the stream in one row, and behind it the records that no running transaction can still
	// precede, each in a row. State and records come from one snapshot. The row of the state has no turn, and its numbers
	// are in the column of the value: columns of the state would cost the server as much as the columns of the record, in
	// each row. And the rows of records pass through unchanged only if both parts have the same columns.
	//
	// The rows are cut at about $6 bytes. Usually $5 records have at most twice this size, and a plain sum shows the
	// size. Otherwise the server computes the running sum of all sizes. A running sum costs more than reading a small
	// record.
	//
	// pending says that the last record of the stream is still hidden from readers. The reader then asks again soon,
	// and does not take a sealed stream for its end.
	//
	// x and s are materialized, so that the server computes them once and not for each record.
	//
	// The place and the limit are read out of subqueries, and the records have a constant limit: the planner sees the same
	// cost for all places and limits, and keeps one plan for all of them. With parameters in their place, a query at the
	// tail looked much cheaper with a plan of its own. Then the server planned each query of such a reader anew, which
	// takes four times as long as the query.
	readSQL = `WITH x AS MATERIALIZED (SELECT ` + firstRunning + ` AS running, $2::bigint AS turn, $3::bigint AS batch, $4::int AS no),
		s AS MATERIALIZED (SELECT id, sealed, trim_turn, trim_batch, trim_no, COALESCE((SELECT running FROM x) <= (
			SELECT p.turn FROM headrace_records p WHERE p.stream = t.id ORDER BY p.turn DESC LIMIT 1), FALSE) AS pending
			FROM headrace_streams t WHERE name = $1),
		n AS MATERIALIZED (SELECT CASE
			WHEN (SELECT sum(bytes) FROM (SELECT bytes FROM (SELECT octet_length(value) AS bytes` + readable + `
				LIMIT (SELECT $5::bigint)) y) <= 2 * $6::bigint THEN $5::bigint
			ELSE (SELECT count(*) FROM (
				SELECT sum(bytes) OVER (ROWS UNBOUNDED PRECEDING) - bytes AS before FROM (
					SELECT bytes FROM (SELECT octet_length(value) AS bytes` + readable + ` LIMIT (SELECT $5::bigint)) y) z
				WHERE before < $6::bigint) END AS rows)
		SELECT NULL::bigint, NULL::bigint, NULL::int, int8send(id) || int8send(sealed::int) || int8send(pending::int) ||
			int8send(trim_turn) || int8send(trim_batch) || int8send(trim_no), NULL::bytea, NULL::bigint FROM s
		UNION ALL (SELECT * FROM (SELECT turn, batch, no, value, headers, at` + readable + ` LIMIT (SELECT rows FROM n))`

	// readable is the end of the subquery of readSQL that finds the records. Its limit is readRecords.
	readable = ` FROM headrace_records WHERE stream = (SELECT id FROM s)
		AND (turn, batch, no) >= ((SELECT turn FROM x), (SELECT batch FROM x), (SELECT no FROM x))
		AND turn < (SELECT running FROM x) ORDER BY turn, batch, no LIMIT 4000) q`
)

// tables holds the statements for one schema. Only Open looks at search_path, because a transaction of a caller may
// have another search_path.
type tables struct {
	replacer *strings.Replacer
	full     sync.Map // maps a statement above to the statement with the schema
}

func tablesIn(schema string) *tables {
	quoted := pgx.Identifier{schema}.Sanitize()
	// The sequence is a value in the statements, and the name of a constraint has no schema.
	sequence := "'" + strings.ReplaceAll(quoted+".headrace_batch_no", "'", "''") + "'::regclass"
	return &tables{replacer: strings.NewReplacer("headrace_", quoted+".headrace_", "BATCH_NO", sequence,
		"BATCHES_KEY", "headrace_batches_pkey")}
}

// sql returns a statement with the schema in front of each table.
func (t *tables) sql(statement string) string {
	if s, ok := t.full.Load(statement); ok {
		return s.(string)
	}
	s := t.replacer.Replace(statement)
	t.full.Store(statement, s)
	return s
}
