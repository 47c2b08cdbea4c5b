// Package boltlog is a [streamlog.Store] on bbolt: many streams in one file, with one goroutine that commits for all of
// them.
//
// While a commit waits for the disk, the Writes of all streams are collected, and the next transaction carries them. A
// Write is durable when its Done is called without an error. If a commit fails before its last step, nothing is stored,
// and the error is ErrTransient. If the sync of the meta page fails, the outcome is unknown, and the error is
// ErrIndeterminate. Then nothing more is written until somebody opens the file again.
//
// Batches are stored as blocks, each with a checksum. If a block does not match its checksum, readers get an error with
// the file and the seq, and never a damaged record.
package boltlog
