//go:build unix

package bolt_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
)

// limitFileSize makes cmd run with a bound on the size of what it writes.
func limitFileSize(t *testing.T, cmd *exec.Cmd, bytes int) bool {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to set a limit with:", err)
	}
	// ulimit -f counts blocks of 512 bytes by POSIX, of 1 KiB in some shells: the limit is that or double.
	cmd.Args = []string{sh, "-c", "ulimit -f " + strconv.Itoa(bytes/512) + ` && exec "$0"`, cmd.Path}
	cmd.Path = sh
	return true
}

// ignoreFileSizeSignal makes a write beyond the limit an error; by default it kills the process.
func ignoreFileSizeSignal() { signal.Ignore(syscall.SIGXFSZ) }

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// readOnlyDir makes a directory that cannot be written to. Modes do not stop root, a mount does.
func readOnlyDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return mount(t, "ro")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	return mount(t, "size="+strconv.Itoa(bytes))
}
