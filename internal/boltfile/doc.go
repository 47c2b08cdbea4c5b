// Package boltfile opens bbolt files so that a damaged one is an error that names the file.
//
// bbolt maps its file into memory and trusts it. Without this package a file that was cut short kills the process with a
// signal, a page with a wrong byte panics in whatever goroutine meets it, and a file of length 0 is a new and empty store.
package boltfile
