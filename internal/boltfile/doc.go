// Package boltfile opens bbolt files. Damage of a file becomes an error that names the file.
//
// bbolt maps its file into memory and trusts the bytes. Without this package, a file that was cut short kills the
// process with a signal, and a page with a wrong byte causes a panic in the goroutine that reads the page. A file of
// length 0 counts as new, so the loss of all data would go unnoticed.
package boltfile
