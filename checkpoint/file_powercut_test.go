package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/headrace/headrace/backend"
)

var (
	errFault = errors.New("input/output error")
	errPower = errors.New("the power is gone")
)

// simDisk keeps apart what a process sees and what would be there after a power cut: bytes become durable with the Sync
// of their file, names with syncDir. At the step failAt it fails, or the power goes.
type simDisk struct {
	names   map[string]*simFile // as seen
	durable map[string]*simFile // after a power cut, at least

	step    int
	failAt  int  // counted from 1; 0 never
	power   bool // the step is the last: it and all later ones return errPower
	half    bool // the step takes effect, in part where it can, before it fails
	failure error
}

type simFile struct {
	disk          *simDisk
	seen, durable []byte
}

func newSimDisk() *simDisk {
	return &simDisk{names: map[string]*simFile{}, durable: map[string]*simFile{}, failure: errFault}
}

// at counts a step and says whether it happens and how it ends.
func (d *simDisk) at() (happens bool, err error) {
	d.step++
	switch {
	case d.failAt == 0 || d.step < d.failAt || (d.step > d.failAt && !d.power):
		return true, nil
	case d.step > d.failAt:
		return false, errPower
	case d.power:
		return d.half, errPower
	}
	return d.half, d.failure
}

func (d *simDisk) read(name string, _ int) ([]byte, fs.FileMode, error) {
	if d.failAt > 0 && d.step >= d.failAt && d.power {
		return nil, 0, errPower
	}
	f, ok := d.names[name]
	if !ok {
		return nil, 0, errNoFile
	}
	return slices.Clone(f.seen), 0o644, nil
}

func (d *simDisk) create(name string, _ fs.FileMode) (diskFile, error) {
	happens, err := d.at()
	if _, there := d.names[name]; there {
		return nil, fs.ErrExist
	}
	f := &simFile{disk: d}
	if happens {
		d.names[name] = f
	}
	return f, err
}

func (f *simFile) Write(p []byte) (int, error) {
	happens, err := f.disk.at()
	if happens && err != nil {
		p = p[:len(p)/2]
	}
	if happens {
		f.seen = append(f.seen, p...)
	}
	return len(p), err
}

func (f *simFile) Sync() error {
	happens, err := f.disk.at()
	if happens && err != nil {
		f.durable = slices.Clone(f.seen[:len(f.seen)/2])
	} else if happens {
		f.durable = slices.Clone(f.seen)
	}
	return err
}

func (f *simFile) Close() error {
	_, err := f.disk.at()
	return err
}

func (d *simDisk) rename(from, to string) error {
	happens, err := d.at()
	if happens {
		d.names[to] = d.names[from]
		delete(d.names, from)
	}
	return err
}

func (d *simDisk) remove(name string) error {
	happens, err := d.at()
	if err == nil && d.names[name] == nil {
		return fs.ErrNotExist
	}
	if happens {
		delete(d.names, name)
	}
	return err
}

func (d *simDisk) syncDir(string) error {
	happens, err := d.at()
	if happens {
		d.durable = maps.Clone(d.names)
	}
	return err
}

func (d *simDisk) tryLock(string) (func(), error) { return func() {}, nil }

// afterPowerCut returns the disks that a power cut now may leave: names and bytes that were not synced are there, or
// not, or in half.
func (d *simDisk) afterPowerCut() map[string]*simDisk {
	left := make(map[string]*simDisk)
	bytes := map[string]func(*simFile) []byte{
		"unsynced bytes lost":   func(f *simFile) []byte { return f.durable },
		"unsynced bytes kept":   func(f *simFile) []byte { return f.seen },
		"unsynced bytes halved": func(f *simFile) []byte { return f.seen[:max(len(f.seen)/2, len(f.durable))] },
	}
	names := map[string]map[string]*simFile{"unsynced names lost": d.durable, "unsynced names kept": d.names}
	for how, content := range bytes {
		for which, dir := range names {
			after := newSimDisk()
			for name, f := range dir {
				b := content(f)
				after.names[name] = &simFile{disk: after, seen: b, durable: b}
			}
			after.durable = maps.Clone(after.names)
			left[how+", "+which] = after
		}
	}
	return left
}

const simPath = "/data/checkpoints"

// prepared returns a disk on which "k" was claimed and saved at "old", with or without the leavings of a kill.
func prepared(t *testing.T, leavings bool) (*simDisk, Checkpoint) {
	t.Helper()
	d := newSimDisk()
	f := newFile(simPath, d)
	cp, err := f.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "old"
	if err := f.Save(t.Context(), "k", cp); err != nil {
		t.Fatal(err)
	}
	if leavings {
		d.names[filepath.Clean(simPath)+".tmp"] = &simFile{disk: d, seen: []byte("headrace check")}
	}
	d.step = 0
	return d, cp
}

// eachFault runs try at every step of a write, with the step done and not done, until the step is beyond the end.
func eachFault(t *testing.T, power bool, try func(t *testing.T, d *simDisk, old Checkpoint)) {
	const steps = 7 // remove, create, write, sync, close, rename, sync of the directory
	for _, leavings := range []bool{false, true} {
		for _, half := range []bool{false, true} {
			for step := 1; step <= steps; step++ {
				t.Run(fmt.Sprintf("leavings=%v/half=%v/step=%d", leavings, half, step), func(t *testing.T) {
					d, old := prepared(t, leavings)
					d.failAt, d.power, d.half = step, power, half
					try(t, d, old)
					if d.step < step {
						t.Errorf("the write took %d steps, the fault was at %d", d.step, step)
					}
				})
			}
		}
	}
}

func TestFileSurvivesPowerCut(t *testing.T) {
	eachFault(t, true, func(t *testing.T, d *simDisk, old Checkpoint) {
		cp := Checkpoint{Offset: "new", Epoch: old.Epoch}
		if err := newFile(simPath, d).Save(t.Context(), "k", cp); !errors.Is(err, errPower) {
			t.Fatalf("Save: %v", err)
		}
		for how, after := range d.afterPowerCut() {
			checkAfter(t, how, after, old, cp)
		}
	})
}

// TestFileSaveIsDurable: nothing of a Save or Claim that returned nil is lost, whatever the power cut takes. The faults
// before it are those of an earlier Save, which may have put the same content in place without making it durable.
func TestFileSaveIsDurable(t *testing.T) {
	eachFault(t, false, func(t *testing.T, d *simDisk, old Checkpoint) {
		f := newFile(simPath, d)
		cp := Checkpoint{Offset: "new", Epoch: old.Epoch}
		if err := f.Save(t.Context(), "k", cp); !errors.Is(err, errFault) {
			t.Fatalf("Save over a fault: %v", err)
		}
		if err := f.Save(t.Context(), "k", cp); err != nil {
			t.Fatalf("Save again: %v", err)
		}
		for how, after := range d.afterPowerCut() {
			checkAfter(t, how, after, cp, cp)
		}
		claimed, err := f.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		for how, after := range d.afterPowerCut() {
			checkAfter(t, how, after, claimed, claimed)
		}
	})
}

// TestFileFaultLeavesOldOrNew: after a step that failed the same process reads the old content or the new, no
// temporary file stays, and it is said when the outcome is not known.
func TestFileFaultLeavesOldOrNew(t *testing.T) {
	eachFault(t, false, func(t *testing.T, d *simDisk, old Checkpoint) {
		f := newFile(simPath, d)
		cp := Checkpoint{Offset: "new", Epoch: old.Epoch}
		err := f.Save(t.Context(), "k", cp)
		if !errors.Is(err, errFault) {
			t.Fatalf("Save: %v, want the cause", err)
		}
		got, err2 := f.Load(t.Context(), "k")
		if err2 != nil || (got != old && got != cp) {
			t.Fatalf("Load: %v, %v", got, err2)
		}
		if got == cp && d.failAt == 7 && !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("the new content is there, and Save said %v", err)
		}
		if d.failAt < 6 && got != old {
			t.Errorf("a failure before the rename has changed the content to %v", got)
		}
		if _, left := d.names[simPath+".tmp"]; left && d.failAt != 1 {
			t.Error("the temporary file has stayed")
		}
	})
}

func checkAfter(t *testing.T, how string, d *simDisk, olds ...Checkpoint) {
	t.Helper()
	f := newFile(simPath, d)
	got, err := f.Load(t.Context(), "k")
	if err != nil || !slices.Contains(olds, got) {
		t.Errorf("%s: Load: %v, %v; want one of %v", how, got, err, olds)
		return
	}
	if cp, err := f.Claim(t.Context(), "k"); err != nil || cp.Epoch != got.Epoch+1 || cp.Offset != got.Offset {
		t.Errorf("%s: Claim over %v: %v, %v", how, got, cp, err)
	}
}
