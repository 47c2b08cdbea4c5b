package postgres

// Appends lock the stream's row FOR KEY SHARE. Appends do not block each other or a Trim with this lock. Seal and
// Delete wait for it. appendOneSQL locks the row of a slot instead.
const (
	// forgetSQL leaves named producers alone: the next process under a name may start after any time, and then asks
	// about the batches that the last process has sent.
	forgetSQL = `DELETE FROM headrace_batches WHERE stream = $1 AND NOT named AND at < ` + now + ` - $2`

	// appendSQL stores a batch in one round trip, unless the batch is stored already or the stream is sealed. If later
	// batches of the same producer are stored, the producer gave this batch up long ago, and appendSQL does not store
	// the batch.
	//
	// The number of the batch comes from a sequence without a cache: two transactions may have the same turn, and the
	// later append must get the higher number. With a cache, each connection would hand out numbers of its own.
	//
	// The lock on s and the INSERT are one statement. With two statements, a Seal could be committed in between, and
	// readers that have seen the end of the stream would miss the batch.
	//
	// b takes the slot of the batch, and the batch that was there before is forgotten: see slots. If an earlier attempt
	// of the same batch is still running in another session, for example because its connection was lost, ON CONFLICT
	// waits for the end of the attempt. So two attempts never both store the batch. Then b returns no row, and againSQL
	// finds the place of the stored batch.
	appendSQL = `WITH s AS (SELECT sealed FROM headrace_streams WHERE id = $1 FOR KEY SHARE),
		b AS (INSERT INTO headrace_batches AS was (stream, producer, seq, slot, hash, turn, batch, at, named)
			SELECT $1, $2, $3, $4, $5, ` + thisTurn + `, nextval(BATCH_NO), ` + now + `, $9 FROM s
			WHERE NOT sealed AND NOT EXISTS (SELECT FROM headrace_batches WHERE stream = $1 AND producer = $2 AND seq > $3)
			ON CONFLICT (stream, producer, slot) DO UPDATE
			SET seq = EXCLUDED.seq, hash = EXCLUDED.hash, turn = EXCLUDED.turn, batch = EXCLUDED.batch, at = EXCLUDED.at
			WHERE was.seq < EXCLUDED.seq RETURNING turn, batch, at),
		r AS (INSERT INTO headrace_records (stream, turn, batch, no, value, headers, at)
			SELECT $1, b.turn, b.batch, u.no - 1, u.value, u.headers, COALESCE(u.at, b.at)
			FROM b, unnest($6::bytea[], $7::bytea[], $8::bigint[]) WITH ORDINALITY AS u(value, headers, at, no))
		SELECT s.sealed, b.turn, b.batch, CASE WHEN b.turn IS NOT NULL THEN ` + wake + ` END FROM s LEFT JOIN b ON TRUE`
	// againSQL is a statement of its own. A statement sees only what was committed before its beginning, so appendSQL
	// would not see a batch for whose transaction ON CONFLICT has waited.
	againSQL = `SELECT turn, batch, hash FROM headrace_batches WHERE stream = $1 AND producer = $2 AND seq = $3`

	// appendOneSQL stores a batch of one record in the slot of an older batch of the same producer, at half the cost of
	// appendSQL in the server. If the slot is missing or does not hold an older batch, or if the stream is sealed or
	// deleted, appendOneSQL does nothing and returns no row. appendSQL then decides.
	//
	// The UPDATE locks the row of the slot, and Seal and Delete change this row too. So they wait for a running
	// appendOneSQL, and a later appendOneSQL waits for them, looks at the changed row, and stores nothing.
	//
	// appendOneSQL does not look for later batches in other slots. A producer sends a batch only when the batch before is
	// stored, so later batches are stored only if this batch is stored too. An attempt that arrives late finds in the
	// slot its own number or a higher one.
	appendOneSQL = `WITH b AS (UPDATE headrace_batches SET seq = $3, hash = $5, turn = ` + thisTurn + `, batch = nextval(BATCH_NO), at = ` + now + `
			WHERE stream = $1 AND producer = $2 AND slot = $4 AND seq < $3 AND NOT sealed RETURNING turn, batch, at),
		r AS (INSERT INTO headrace_records (stream, turn, batch, no, value, headers, at)
			SELECT $1, turn, batch, 0, $6::bytea, $7::bytea, COALESCE($8::bigint, at) FROM b)
		SELECT turn, batch, ` + wake + ` FROM b`

	// appendTxSQL has no row in headrace_batches: the transaction of the caller decides whether the records are stored,
	// and after a lost reply the caller must find out by itself whether the transaction was committed.
	appendTxSQL = `WITH s AS (SELECT id, sealed FROM headrace_streams WHERE name = $1 FOR KEY SHARE),
		b AS (SELECT id, ` + thisTurn + ` AS turn, nextval(BATCH_NO) AS batch, ` + now + ` AS at FROM s WHERE NOT sealed),
		r AS (INSERT INTO headrace_records (stream, turn, batch, no, value, headers, at)
			SELECT b.id, b.turn, b.batch, u.no - 1, u.value, u.headers, COALESCE(u.at, b.at)
			FROM b, unnest($2::bytea[], $3::bytea[], $4::bigint[]) WITH ORDINALITY AS u(value, headers, at, no))
		SELECT s.sealed, CASE WHEN b.turn IS NOT NULL THEN ` + wakeName + ` END FROM s LEFT JOIN b ON TRUE`
)

// Each listener holds the advisory lock listening, shared. An append notifies only if somebody holds the lock:
// PostgreSQL commits transactions with a NOTIFY one after another, so a NOTIFY costs all writers of the database.
//
// The statements ask for the lock behind thisTurn, where the transaction has its number already. So a transaction that
// has found no listener has a lower number than nextSQL returns when the listener holds the lock, and the listener waits
// for the end of all transactions with lower numbers: see listener.settle. In the other order, a transaction could ask
// for the lock, and get its number after nextSQL, and nobody would wake the readers after its commit.
//
// The notification leaves at the commit, so a reader that it wakes finds the records.
const (
	listening = `7522535908310049638` // migrate locks the number before
	wake      = wakeFor + `$1::bigint` + wakeEnd
	wakeName  = wakeFor + `s.id` + wakeEnd
	wakeFor   = `CASE WHEN pg_try_advisory_lock(` + listening + `) THEN pg_advisory_unlock(` + listening + `)::text ELSE pg_notify('headrace', (`
	wakeEnd   = `)::text)::text END`

	listenSQL = `SELECT pg_advisory_lock_shared(` + listening + `)`
	// nextSQL takes a number, which is higher than the number of every transaction so far. endedSQL returns whether all
	// transactions below a number have ended. The xmax of a snapshot cannot take the place of nextSQL: xmax is only behind
	// the newest transaction that has ended, and younger transactions may be running.
	nextSQL  = `SELECT pg_current_xact_id()::text::bigint`
	endedSQL = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1`
)
