// Package handovers runs a group of four processes over 32 streams, with leases and effects in PostgreSQL, and disturbs the
// group: every ten seconds a process is killed and another is started, processes are suspended for longer than a lease and
// go on, and the database is away for longer than a lease. It has only tests.
//
// The checks:
//
//   - Every record has one effect, and the effects of a stream are in the order of its records.
//   - No effect is committed with its checkpoint under a lease of another member, or under a lease that is over.
//   - After each change the shares become even again: they differ by one stream at most.
//
// The test measures the longest time that a stream stood still, the time until the shares are even, and the number of
// late effects outside of transactions with the checkpoint.
//
//	.ci/postgres go test -v ./internal/handovers                  # 20 s
//	HEADRACE_LONG=1 .ci/postgres go test -v ./internal/handovers  # 3 minutes; HEADRACE_LONG=90s is 90 seconds
package handovers
