package checkpoint

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/headrace/headrace/backend"
)

// The tests run their own binary again as another process, which is told its work by the environment.
const (
	childWork = "HEADRACE_CHECKPOINT_CHILD"
	childPath = "HEADRACE_CHECKPOINT_FILE"

	workSave  = "save"  // claim once, then save 1, 2, 3, … until killed
	workClaim = "claim" // claim childClaims times
	workHold  = "hold"  // hold the lock until killed

	childClaims = 25
)

// child prints a line for everything that it was told is durable. It returns the exit code.
func child(work, path string) int {
	ctx := context.Background()
	f := NewFile(path)
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch work {
	case workHold:
		if _, err := f.lock(ctx); err != nil {
			return fail(err)
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent kills it or is gone
	case workClaim:
		for range childClaims {
			cp, err := f.Claim(ctx, "k")
			if err != nil {
				return fail(err)
			}
			fmt.Println(cp.Epoch)
		}
	case workSave:
		cp, err := f.Claim(ctx, "k")
		if err != nil {
			return fail(err)
		}
		fmt.Println("claimed", cp.Epoch)
		first, _ := strconv.Atoi(string(cp.Offset)) // "" before the first save: begin at 1
		for n := first + 1; ; n++ {
			cp.Offset = backend.Offset(strconv.Itoa(n))
			if err := f.Save(ctx, "k", cp); err != nil {
				return fail(err)
			}
			fmt.Println("saved", n)
		}
	}
	return 0
}

// startChild runs work on the file at path in another process and returns it with what it prints. It is killed at the
// end of the test at the latest.
func startChild(t *testing.T, work, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childWork+"="+work, childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // stays open for as long as this process lives
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}
