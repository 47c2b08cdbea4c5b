// Package committer commits the changes of many goroutines to one bbolt file, many changes in one transaction.
//
// An fsync takes milliseconds, whatever it makes durable. So one goroutine commits, and while it waits for the disk,
// further steps are queued; the next transaction carries all of them. We call one such transaction a round.
//
// The logs of this module that keep a bbolt file are built on it: what one of them learns about full disks and failed
// fsyncs, all of them know.
//
//   - A round is durable as a whole or not at all. A step is told the outcome after the round, never before.
//   - After a failed commit the committer finds out whether the round is stored. If nothing is stored, the error wraps
//     [ErrNotStored] and the next round may succeed. If nobody can know, the error wraps [ErrUnknown], and it was the last
//     commit: every later step fails with [ErrEnded] until the file is opened again, which shows what is stored.
//   - A file that was cut short is refused at [Open], and damage that is met later is an error: see package boltfile.
package committer
