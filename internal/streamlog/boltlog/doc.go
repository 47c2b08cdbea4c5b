// Package boltlog is a [streamlog.Store] on bbolt: many streams in one file, with one goroutine that commits for all of
// them.
//
// While one commit waits for the disk, the Writes of any streams are collected, and the next transaction carries all of
// them. A Write is durable when its Done says so. A commit that fails before its last step has stored nothing, which is
// ErrTransient. When the sync of the meta page fails, the outcome is unknown, which is ErrIndeterminate; then nothing
// more is written until the file is opened again.
//
// Batches are stored as blocks, each with a checksum. A block that does not match its checksum gives an error that
// names file and seq, and never a record.
package boltlog
