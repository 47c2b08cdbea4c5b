package postgres

import "context"

// lookSQL returns the waiters that have to know something, by their number, with hidden as in a finding. The places of the
// waiters come in arrays. The reader at a place asks by itself afterwards, so lookSQL need not return records.
//
// r is the first record at the place or behind it. If r is hidden, so are all records behind r. The index has this record
// in one step. The last record of the stream would tell the same, but in front of it there may be deleted records that the
// server has not cleaned up yet.
const lookSQL = `SELECT n, COALESCE(hidden AND id = known AND NOT trimmed, FALSE) FROM (
		SELECT w.n, s.id, w.id AS known, s.sealed, (s.trim_turn, s.trim_batch, s.trim_no) > (w.turn, w.batch, w.no) AS trimmed,
			(SELECT r.turn FROM headrace_records r WHERE r.stream = s.id AND (r.turn, r.batch, r.no) >= (w.turn, w.batch, w.no)
				ORDER BY r.turn, r.batch, r.no LIMIT 1) >= (SELECT ` + firstRunning + `) AS hidden
		FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[]) WITH ORDINALITY AS w(name, id, turn, batch, no, n)
		LEFT JOIN headrace_streams s ON s.name = w.name) q
	WHERE COALESCE(id, 0) <> known OR hidden IS NOT NULL OR sealed OR trimmed`

// look asks the database about waiters.
func (d *DB) look(ctx context.Context, ws []*waiter) ([]finding, error) {
	names, ids := make([]string, len(ws)), make([]int64, len(ws))
	turns, batches, nos := make([]int64, len(ws)), make([]int64, len(ws)), make([]int32, len(ws))
	for i, w := range ws {
		names[i], ids[i] = w.stream, w.id
		turns[i], batches[i], nos[i] = w.at.turn, w.at.batch, w.at.no
	}
	rows, err := d.pool.Query(ctx, d.tables.sql(lookSQL), names, ids, turns, batches, nos)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]finding, len(ws))
	for rows.Next() {
		var n int64
		var hidden bool
		if err := rows.Scan(&n, &hidden); err != nil {
			return nil, err
		}
		found[n-1] = finding{ready: !hidden, hidden: hidden}
	}
	return found, rows.Err()
}
