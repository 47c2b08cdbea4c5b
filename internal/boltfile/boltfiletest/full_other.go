//go:build !linux && !darwin

package boltfiletest

import "testing"

// FullDisk skips the test: this system cannot limit how large the files of a process become.
func FullDisk(t *testing.T, _ string) (free func()) {
	t.Helper()
	t.Skip("the size of files cannot be limited here")
	return nil
}
