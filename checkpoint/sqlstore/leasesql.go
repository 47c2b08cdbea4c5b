package sqlstore

// leaseSQL holds the statements of Leases. Times are milliseconds since 1970, by the clock of the database. Each
// statement uses its parameters in the order of their numbers, because SQLite numbers parameters by their first use.
type leaseSQL struct {
	heldSQL, acquireSQL, joinSQL, renewSQL, stateSQL, oldMembersSQL, oldLeasesSQL, saveSQL string
}

// leaseTables is the migration that makes the tables of Leases.
var leaseTables = migration{
	`CREATE TABLE headrace_members (
		group_name TEXT NOT NULL,
		member TEXT NOT NULL,
		expires_at BIGINT NOT NULL,
		PRIMARY KEY (group_name, member)
	)`,
	`CREATE TABLE headrace_leases (
		group_name TEXT NOT NULL,
		stream TEXT NOT NULL,
		member TEXT NOT NULL,
		expires_at BIGINT NOT NULL,
		PRIMARY KEY (group_name, stream)
	)`,
}

// These statements need no clock.
const (
	releaseSQL    = `DELETE FROM headrace_leases WHERE group_name = $1 AND member = $2 AND stream = $3`
	releaseAllSQL = `DELETE FROM headrace_leases WHERE group_name = $1 AND member = $2`
	leaveSQL      = `DELETE FROM headrace_members WHERE group_name = $1 AND member = $2`
)

// leaseStatements returns the statements for one database. now is its expression for the clock, and elements its
// expression for the elements of the JSON array in $4.
func leaseStatements(now, elements string) leaseSQL {
	return leaseSQL{
		heldSQL: `SELECT EXISTS (SELECT 1 FROM headrace_leases WHERE group_name = $1 AND stream = $2 AND member <> $3 AND expires_at > ` + now + `)`,
		// A member also gets its own lease again. The condition stands in the statement that writes: between a query
		// and a write, another member could take the lease.
		acquireSQL: `INSERT INTO headrace_leases AS l (group_name, stream, member, expires_at) VALUES ($1, $2, $3, ` + now + ` + $4)
			ON CONFLICT (group_name, stream) DO UPDATE SET member = excluded.member, expires_at = excluded.expires_at
			WHERE l.member = excluded.member OR l.expires_at <= ` + now,
		// The first renewal makes the member. There is no other registration, so a member whose row was deleted comes
		// back with its next renewal.
		joinSQL: `INSERT INTO headrace_members (group_name, member, expires_at) VALUES ($1, $2, ` + now + ` + $3)
			ON CONFLICT (group_name, member) DO UPDATE SET expires_at = excluded.expires_at`,
		// A lease is renewed even if its time is over: the row still names the member, so no other member has acquired
		// the lease. A lease that another member has acquired is not renewed.
		renewSQL: `UPDATE headrace_leases SET expires_at = ` + now + ` + $1
			WHERE group_name = $2 AND member = $3 AND stream IN (` + elements + `)`,
		// A key without a lease is not of a group, and is saved as in a Store.
		//
		// After a Release there is no row either. Until another member acquires the stream and raises the epoch,
		// nobody else works on the stream, and the former owner may save.
		saveSQL: `UPDATE headrace_checkpoints SET stream_offset = $1, ahead = $2, updated_at = CURRENT_TIMESTAMP WHERE checkpoint_key = $3 AND epoch = $4
			AND NOT EXISTS (SELECT 1 FROM headrace_leases WHERE group_name = $5 AND stream = $6 AND expires_at <= ` + now + `)`,
		// Members are the rows with an empty stream. One statement reads members and leases, so that both are from the
		// same moment.
		stateSQL: `SELECT '' AS stream, member FROM headrace_members WHERE group_name = $1 AND expires_at > ` + now + `
			UNION ALL SELECT stream, member FROM headrace_leases WHERE group_name = $1 AND expires_at > ` + now,
		// Each start of a process makes a member with a new name, so old rows must be deleted. We wait a day, because
		// otherwise the deletion could meet rows that their owners are renewing, and both could end in a deadlock.
		oldMembersSQL: `DELETE FROM headrace_members WHERE group_name = $1 AND expires_at < ` + now + ` - 86400000`,
		oldLeasesSQL:  `DELETE FROM headrace_leases WHERE group_name = $1 AND expires_at < ` + now + ` - 86400000`,
	}
}
