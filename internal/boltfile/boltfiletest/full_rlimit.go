//go:build linux || darwin

package boltfiletest

import (
	"os"
	"sync"
	"syscall"
	"testing"
)

// FullDisk makes the operating system refuse to let any file of this process grow beyond the size that the file at path has
// now, as on a full disk. It ends with the test, or earlier when free is called. bbolt lets its files grow by 16 MiB at a
// time, so what is written to meet the full disk must be larger. Tests that run at the same time would meet it too.
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
