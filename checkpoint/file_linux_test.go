package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/headrace/headrace/backend"
)

// smallVolume mounts a file system of size bytes, and skips the test where that is not allowed.
func smallVolume(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

func TestFileOnAFullDisk(t *testing.T) {
	dir := smallVolume(t, "64k")
	path := filepath.Join(dir, "checkpoints")
	f := NewFile(path)
	cp, err := f.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "41"
	if err := f.Save(t.Context(), "k", cp); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the volume: %v", err)
	}

	later := Checkpoint{Offset: "42", Epoch: cp.Epoch}
	if err := f.Save(t.Context(), "k", later); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save: %v, want ENOSPC", err)
	}
	if _, err := f.Claim(t.Context(), "other"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Claim: %v, want ENOSPC", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file holds %q, %v; before it held %q", after, err, before)
	}
	if got, err := f.Load(t.Context(), "k"); err != nil || got != cp {
		t.Errorf("Load: %v, %v; want %v", got, err, cp)
	}
	if _, err := os.Lstat(path + ".tmp"); !os.IsNotExist(err) {
		t.Errorf("the temporary file takes room on the full disk: %v", err)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(t.Context(), "k", later); err != nil {
		t.Errorf("Save after room was made: %v", err)
	}
}

func TestFileOnAReadOnlyVolume(t *testing.T) {
	dir := smallVolume(t, "64k")
	path := filepath.Join(dir, "checkpoints")
	f := NewFile(path)
	cp, err := f.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(t.Context(), "k"); err != nil || got != cp {
		t.Errorf("Load: %v, %v; want %v", got, err, cp)
	}
	if _, err := f.Claim(t.Context(), "k"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Claim: %v, want EROFS", err)
	}
	if err := f.Save(t.Context(), "k", Checkpoint{Offset: "1", Epoch: cp.Epoch}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Save: %v, want EROFS", err)
	}
}

// TestFileInAReadOnlyDirectory is the same for those who are not root, whom permission bits bind.
func TestFileInAReadOnlyDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere; TestFileOnAReadOnlyVolume covers it")
	}
	f, path, cp := savedFile(t)
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	if got, err := f.Load(t.Context(), "k"); err != nil || got != cp {
		t.Errorf("Load: %v, %v; want %v", got, err, cp)
	}
	if err := f.Save(t.Context(), "k", cp); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Save: %v, want a permission error", err)
	}
}

// TestFileDiskFullAtEveryStep needs no root: the write itself runs out of room half-way.
func TestFileDiskFullAtEveryStep(t *testing.T) {
	eachFault(t, false, func(t *testing.T, d *simDisk, old Checkpoint) {
		d.failure = syscall.ENOSPC
		f := newFile(simPath, d)
		err := f.Save(t.Context(), "k", Checkpoint{Offset: "new", Epoch: old.Epoch})
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, backend.ErrIndeterminate) != (d.failAt == 7) {
			t.Errorf("Save: %v, want ENOSPC, and its outcome unknown only behind the rename", err)
		}
		got, err := f.Load(t.Context(), "k")
		if err != nil || (d.failAt < 6 && got != old) {
			t.Errorf("Load: %v, %v; want %v", got, err, old)
		}
	})
}

// Two names of one file would have a lock file each, and a rename would part them.
func TestFileWithASecondHardLinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if _, err := NewFile(path).Claim(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, other} {
		if cp, err := NewFile(name).Claim(t.Context(), "k"); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%s: %v, %v; want ErrRejected", name, cp, err)
		}
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if cp, err := NewFile(path).Claim(t.Context(), "k"); err != nil || cp.Epoch != 2 {
		t.Errorf("with one name again: %v, %v", cp, err)
	}
}
