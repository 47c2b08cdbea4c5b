//go:build linux || darwin

package boltfiletest

import (
	"os"
	"sync"
	"syscall"
	"testing"
)

// FullDisk simulates a full disk: the operating system refuses to let any file of this process grow beyond the present
// size of the file at path. The limit ends with the test, or earlier when the test calls free. bbolt lets its files
// grow by 16 MiB at a time, so the test must write more than 16 MiB. The limit is for the whole process, so no other
// test may run at the same time.
func FullDisk(t *testing.T, path string) (free func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := before
	full.Cur = uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	free = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(free)
	return free
}
