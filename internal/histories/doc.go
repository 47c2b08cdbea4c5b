// Package histories runs producers and consumers through random histories, and checks afterwards what the documentation of
// packages producer, consumer and checkpoint promises. It has only tests.
//
// A history is made from a seed. Several goroutines send through several producers to one stream, several consumers read
// that stream, and everything between them and the store fails at random: connections, acks, openings, reads, checkpoint
// saves, whole producers and consumers. The stream is one of backend/memory, in a synctest bubble, or one of backend/bolt,
// on a file that is closed and opened again in the middle.
//
// What is checked:
//
//   - A record that was acknowledged is in the stream, with the bytes and headers that were sent, at the offset that its
//     receipt tells.
//   - A record that was refused, or never accepted, is not in the stream. Only the records that the sink refuses are refused.
//   - First copies of what one goroutine sent are in the order in which the goroutine sent them.
//   - A record is stored at most as often as a session may have stored it by its last words, and once for each appender
//     where the store knows a resend.
//   - A producer that has stopped hands out by Unacked exactly what it has not confirmed.
//   - A loop of a consumer begins where its claim says, skips nothing and repeats nothing. No save passes a record that is
//     not done, and no stored place moves back.
//   - The dead letters are exactly the records that cannot be decoded, and in a Pipe those that the destination refuses.
//   - No goroutine is left.
//
// A plain run of the tests takes less than a second on an idle machine. Two variables change that:
//
//	HEADRACE_HISTORIES=30s go test -v ./internal/histories  # runs histories for 30 s
//	HEADRACE_SEED=12345    go test -v ./internal/histories  # runs the history of one seed
//
// The seed decides what is sent and which call fails; how goroutines interleave it does not decide, so a failure may need
// -count to come again.
package histories
