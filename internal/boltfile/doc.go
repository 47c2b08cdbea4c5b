// Package boltfile opens bbolt files. Damage of a file becomes an error with the name of the file.
//
// bbolt maps its file into memory and trusts the bytes. Without this package, a cut file kills the process with a
// signal, and a page with a wrong byte causes a panic in the goroutine of the reader. A file of length 0 counts as new,
// so the loss of all data would go unnoticed.
package boltfile
