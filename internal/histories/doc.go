// Package histories runs producers and consumers through random histories, and checks the promises of packages producer,
// consumer and checkpoint afterwards. The package has only tests.
//
// A history is made from a seed. Several goroutines send through several producers to one stream, several consumers read
// the stream, and everything on the way to the store fails at random: connections, acks, openings, reads, checkpoint
// saves, whole producers and consumers. The stream is a stream of backend/memory, in a synctest bubble, or a stream of
// backend/bolt, in a file that is closed and opened again in the middle.
//
// The checks:
//
//   - An acknowledged record is in the stream, with its bytes and headers, at the offset of its receipt.
//   - A record that was refused, or never accepted, is not in the stream. Only the sink's own refusals refuse a record.
//   - The first copies of the records of one goroutine are in the order of sending.
//   - A record is stored at most once for each session whose last words leave open whether the record was stored, and
//     once for each appender where the store knows a resend.
//   - After its end, a producer's Unacked yields exactly the records without a confirmation.
//   - A loop of a consumer begins at the place of its claim, skips nothing and repeats nothing. No save passes an
//     unfinished record, and no stored place moves back.
//   - The dead letters are exactly the records that cannot be decoded, and in a Pipe the records that the destination
//     refuses.
//   - No goroutine is left.
//
// A plain run of the tests takes less than a second on an idle machine. Two variables change the run:
//
//	HEADRACE_HISTORIES=30s go test -v ./internal/histories  # runs histories for 30 s
//	HEADRACE_SEED=12345    go test -v ./internal/histories  # runs the history of one seed
//
// The seed decides about the records and about the calls that fail. The seed does not decide how goroutines interleave.
// Therefore a failure may need -count to come again.
package histories
