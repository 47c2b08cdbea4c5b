// Package committer commits the changes of many goroutines to one bbolt file, many changes in one transaction.
//
// An fsync takes milliseconds, however many bytes it makes durable. Therefore only one goroutine commits. While it
// waits for the disk, further steps are queued, and the next transaction carries all of them. We call one such
// transaction a round.
//
// All logs of this module with a bbolt file use the package. So everything we learn about full disks and failed fsyncs
// is handled in one place.
//
//   - A round is durable as a whole or not at all. A step learns the outcome after the round, never before.
//   - After a failed commit, the committer finds out whether the round is stored. If nothing is stored, the error wraps
//     [ErrNotStored], and the next round may succeed. If nobody can know, the error wraps [ErrUnknown], and there are
//     no more commits: every later step fails with [ErrEnded] until somebody opens the file again. Opening shows what
//     is stored.
//   - [Open] refuses a file that was cut short. Later damage of the file becomes an error: see package boltfile.
package committer
