package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

// savedFile returns a store in a new directory with "k" saved at "41", and its path.
func savedFile(t *testing.T) (*File, string, Checkpoint) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoints")
	f := NewFile(path)
	cp, err := f.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "41"
	if err := f.Save(t.Context(), "k", cp); err != nil {
		t.Fatal(err)
	}
	return f, path, cp
}

// errorsOf returns what Load, Claim and Save of cp under "k" return.
func errorsOf(t *testing.T, f *File, cp Checkpoint) []error {
	t.Helper()
	_, errLoad := f.Load(t.Context(), "k")
	_, errClaim := f.Claim(t.Context(), "k")
	return []error{errLoad, errClaim, f.Save(t.Context(), "k", cp)}
}

// TestFileCorrupt: no call starts over on a damaged file, each names it, and none changes it.
func TestFileCorrupt(t *testing.T) {
	f, path, cp := savedFile(t)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"empty":     {},
		"cut":       sound[:len(sound)-3],
		"half":      sound[:len(sound)/2],
		"no end":    sound[:len(sound)-1],
		"zeros":     make([]byte, 4096),
		"edited":    bytes.Replace(sound, []byte(`"41"`), []byte(`"42"`), 1),
		"longer":    append(bytes.Clone(sound), "\"x\" \"1\" 1\n"...),
		"twice":     append(bytes.Clone(sound), sound...),
		"something": []byte("{\"offset\": 41}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, err := range errorsOf(t, f, cp) {
				var corrupt *CorruptError
				if !errors.As(err, &corrupt) || corrupt.Place != path || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want a CorruptError that names %s", err, path)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, damaged) {
				t.Errorf("the damaged file was changed to %q", after)
			}
		})
	}
	if err := os.WriteFile(path, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(t.Context(), "k", cp); err != nil {
		t.Errorf("Save after the file was restored: %v", err)
	}
}

func TestFileOfALaterRelease(t *testing.T) {
	f, path, cp := savedFile(t)
	if err := os.WriteFile(path, []byte("headrace checkpoints 3\nwhatever\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range errorsOf(t, f, cp) {
		if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want ErrUnsupported that names %s", err, path)
		}
	}
}

// TestFileRemoved: a consumer whose store has vanished under it is told so and cannot save on as if nothing were.
func TestFileRemoved(t *testing.T) {
	f, path, cp := savedFile(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(t.Context(), "k", cp); !errors.Is(err, backend.ErrFenced) {
		t.Errorf("Save: %v, want ErrFenced", err)
	}
}

func TestFileWithoutItsDirectory(t *testing.T) {
	f := NewFile(filepath.Join(t.TempDir(), "not mounted", "checkpoints"))
	for _, err := range errorsOf(t, f, Checkpoint{Offset: "1", Epoch: 1}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want one that is fs.ErrNotExist", err)
		}
	}
}

func TestFileWithoutAPath(t *testing.T) {
	for _, err := range errorsOf(t, NewFile(""), Checkpoint{Offset: "1", Epoch: 1}) {
		if !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%v, want ErrRejected", err)
		}
	}
}

func TestFileThatIsNoFile(t *testing.T) {
	_, path, cp := savedFile(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	for _, name := range []string{link, t.TempDir()} {
		for _, err := range errorsOf(t, NewFile(name), cp) {
			if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want ErrRejected that names %s", err, name)
			}
		}
	}
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link was cut: %q, %v", to, err)
	}
}

// TestFileKeepsItsPlace: the working directory of the first call and of the last may differ.
func TestFileKeepsItsPlace(t *testing.T) {
	t.Chdir(t.TempDir())
	f := NewFile("checkpoints")
	if _, err := f.Claim(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if cp, err := f.Claim(t.Context(), "k"); err != nil || cp.Epoch != 2 {
		t.Errorf("Claim in another working directory: %v, %v; want epoch 2", cp, err)
	}
}

func TestFileKeepsPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	f, path, cp := savedFile(t)
	for _, mode := range []fs.FileMode{0o600, 0o666, 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := f.Save(t.Context(), "k", cp); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v after a Save, want %v: %v", info.Mode(), mode, err)
		}
	}
}

// TestFileTooLarge: neither is a file read that has no end, nor one written that could not be read again.
func TestFileTooLarge(t *testing.T) {
	f, path, cp := savedFile(t)
	f.limit = 64 << 10
	var err error
	for n := 0; err == nil && n < f.limit/OffsetBytes; n++ {
		key := strconv.Itoa(n)
		if cp, err = f.Claim(t.Context(), key); err == nil {
			cp.Offset = backend.Offset(strings.Repeat("o", OffsetBytes))
			err = f.Save(t.Context(), key, cp)
		}
	}
	if !errors.Is(err, backend.ErrTooLarge) || !strings.Contains(err.Error(), path) {
		t.Fatalf("filling the file: %v, want ErrTooLarge that names %s", err, path)
	}
	if cp, err := f.Claim(t.Context(), "k"); err != nil || cp.Offset != "41" {
		t.Errorf("Claim of what was there before: %v, %v", cp, err)
	}
	if err := os.Truncate(path, int64(f.limit)+1); err != nil {
		t.Fatal(err)
	}
	for _, err := range errorsOf(t, f, cp) {
		if !errors.Is(err, backend.ErrTooLarge) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want ErrTooLarge that names %s", err, path)
		}
	}
}

// TestFileLockWaitIsBounded: the wait for another holder ends with the context, on either lock, and takes no time here
// because the clock is the bubble's.
func TestFileLockWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, path, cp := savedFile(t)
		release, err := osDisk{}.tryLock(path + ".lock")
		if err != nil || release == nil {
			t.Fatalf("the lock is not free: %v", err)
		}
		check := func(who string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := f.Save(ctx, "k", cp)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTransient) {
				t.Errorf("Save while %s holds the lock: %v", who, err)
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name %s", err, path)
			}
		}
		check("another store")
		release()
		unlock, err := f.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		check("another goroutine")
		unlock()
		if err := f.Save(t.Context(), "k", cp); err != nil {
			t.Errorf("Save after the lock was released: %v", err)
		}
	})
}

// endsInBetween is a context that is alive when a call begins and has ended when the call gets its turn.
type endsInBetween struct {
	context.Context
	asked int
}

func (c *endsInBetween) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	return context.Canceled
}

// TestFileContextEndsWhileWaiting: a call that gets the lock too late changes nothing.
func TestFileContextEndsWhileWaiting(t *testing.T) {
	f, _, held := savedFile(t)
	_, errClaim := f.Claim(&endsInBetween{Context: t.Context()}, "k")
	errSave := f.Save(&endsInBetween{Context: t.Context()}, "k", Checkpoint{Offset: "42", Epoch: held.Epoch})
	for _, err := range []error{errClaim, errSave} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("%v, want the context's error and ErrTransient", err)
		}
	}
	if got, err := f.Load(t.Context(), "k"); err != nil || got != held {
		t.Errorf("Load: %v, %v; want %v", got, err, held)
	}
}
