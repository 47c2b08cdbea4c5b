package bolt_test

import (
	"os/exec"
	"testing"
)

func limitFileSize(t *testing.T, _ *exec.Cmd, _ int) bool {
	t.Helper()
	t.Skip("there is no limit on file sizes on Windows")
	return false
}

func ignoreFileSizeSignal() {}

func isReadOnly(error) bool { return false }

func readOnlyDir(t *testing.T) string {
	t.Helper()
	t.Skip("modes do not make a directory read-only on Windows")
	return ""
}

func smallDisk(t *testing.T, _ int) string { return mount(t, "") }
