//go:build !linux

package bolt_test

import "testing"

func mount(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("mounts a disk in memory on Linux only")
	return ""
}
