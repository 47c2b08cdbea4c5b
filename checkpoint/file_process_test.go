package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFileSurvivesKill kills a process that saves without a pause, again and again, and looks at what it left: nothing
// that it was told is durable may be missing, and the next process goes on from there. That the kills hit different
// steps of a save is left to chance and to what is on the disk at the moment; TestFileSurvivesPowerCut takes every step
// in turn.
func TestFileSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints")
	exists := func(name string) bool {
		_, err := os.Lstat(name)
		return err == nil
	}
	moments := []func() bool{
		func() bool { return true },
		func() bool { return exists(path + ".tmp") },
		func() bool { return !exists(path + ".tmp") },
		func() bool { info, err := os.Lstat(path + ".tmp"); return err == nil && info.Size() > 0 },
	}
	left := 0 // how often a temporary file stayed behind
	var epoch uint64
	saved := 0
	const kills = 16
	for round := range kills {
		cmd, out := startChild(t, workSave, path)
		for range 1 + rand.IntN(8) {
			if !out.Scan() {
				t.Fatal("the child has ended by itself")
			}
			saved, epoch = said(t, out.Text(), saved, epoch)
		}
		for moment := moments[round%len(moments)]; !moment(); {
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for out.Scan() { // what it was told before the kill arrived
			saved, epoch = said(t, out.Text(), saved, epoch)
		}
		_ = cmd.Wait()
		if exists(path + ".tmp") {
			left++
		}

		f := NewFile(path)
		cp, err := f.Load(t.Context(), "k")
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		n, err := strconv.Atoi(string(cp.Offset))
		if cp.Offset == "" {
			n, err = 0, nil // killed before its first save
		}
		// One more than it said: stored, and killed before it could say so.
		if err != nil || n < saved || n > saved+1 || cp.Epoch != epoch {
			t.Fatalf("round %d: %v is stored, the process had claimed epoch %d and saved %d", round, cp, epoch, saved)
		}
		next, err := f.Claim(t.Context(), "k")
		if err != nil || next.Epoch != cp.Epoch+1 || next.Offset != cp.Offset {
			t.Fatalf("round %d: Claim over %v: %v, %v", round, cp, next, err)
		}
		if exists(path + ".tmp") {
			t.Fatalf("round %d: the temporary file stayed behind a write", round)
		}
	}
	t.Logf("%d saves; a temporary file was left behind by %d of %d kills", saved, left, kills)
}

// said takes in a line of a child that saves.
func said(t *testing.T, line string, saved int, epoch uint64) (int, uint64) {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(line, "saved %d", &n); err == nil {
		return n, epoch
	}
	if _, err := fmt.Sscanf(line, "claimed %d", &epoch); err != nil {
		t.Fatalf("the child said %q", line)
	}
	return saved, epoch
}

// TestFileClaimsOfManyProcesses: every claim of every process gets an epoch of its own, without a gap.
func TestFileClaimsOfManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints")
	const processes = 4
	lines := make(chan []string, processes)
	for range processes {
		cmd, out := startChild(t, workClaim, path)
		go func() {
			var got []string
			for out.Scan() {
				got = append(got, out.Text())
			}
			if err := cmd.Wait(); err != nil {
				got = append(got, err.Error())
			}
			lines <- got
		}()
	}
	owner := make(map[string]int)
	for p := range processes {
		for _, line := range <-lines {
			if other, twice := owner[line]; twice {
				t.Errorf("epoch %s went to two: %d and %d", line, other, p)
			}
			owner[line] = p
		}
	}
	for epoch := range processes * childClaims {
		if _, ok := owner[strconv.Itoa(epoch+1)]; !ok {
			t.Errorf("nobody got epoch %d", epoch+1)
		}
	}
	cp, err := NewFile(path).Load(t.Context(), "k")
	if err != nil || cp.Epoch != processes*childClaims {
		t.Errorf("Load: %v, %v; want epoch %d", cp, err, processes*childClaims)
	}
}

// TestFileLockEndsWithTheProcess: a killed holder leaves its lock file behind, and no lock.
func TestFileLockEndsWithTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints")
	cmd, out := startChild(t, workHold, path)
	if !out.Scan() || out.Text() != "locked" {
		t.Fatalf("the child said %q", out.Text())
	}
	if release, err := (osDisk{}).tryLock(path + ".lock"); release != nil || err != nil {
		t.Fatalf("the lock of another process was taken: %v", err)
	}
	if _, err := NewFile(path).Load(t.Context(), "k"); err != nil && !renameNeedsNoReader {
		t.Errorf("Load while another process writes: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cp, err := NewFile(path).Claim(t.Context(), "k"); err != nil || cp.Epoch != 1 {
		t.Errorf("Claim after the holder was killed: %v, %v", cp, err)
	}
	if _, err := os.Lstat(path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is there: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 2 || !strings.HasSuffix(entries[1].Name(), ".lock") {
		t.Errorf("the directory has %v, want the file and its lock", entries)
	}
}
