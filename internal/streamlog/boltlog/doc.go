// Package boltlog is a [streamlog.Store] on bbolt: many streams in one file, one goroutine that commits for all of them.
//
// What any streams were given while a commit waits for the disk shares the next transaction. A Write is durable when its Done
// says so. A commit that fails before its last step has stored nothing, which is ErrTransient; when the sync of the meta page
// fails the outcome is unknown, which is ErrIndeterminate, and nothing more is written until the file was opened again.
//
// Batches are stored as blocks with a checksum each; what does not match is an error that names file and seq, never a record.
package boltlog
