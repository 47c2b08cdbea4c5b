package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART_CHILD") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs the program in dir with -trace and calls line with each line that it prints, until it ends.
func child(t *testing.T, dir string, orders int, line func(what string, n uint64, kill func(os.Signal))) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-dir", dir, "-orders", fmt.Sprint(orders), "-trace")
	cmd.Env = append(os.Environ(), "QUICKSTART_CHILD=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	signalled := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err == nil {
			line(what, n, func(s os.Signal) {
				signalled = true
				_ = cmd.Process.Signal(s)
			})
		}
	}
	if err := cmd.Wait(); err != nil && !signalled {
		t.Errorf("the program was not killed, and failed: %v", err)
	}
}

// audit reads the whole stream and returns the last ID. The IDs must be dense: nothing lost, repeated or reordered.
func audit(t *testing.T, dir string) (last uint64) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := consumer.New(db.Stream("orders"), codec.JSON[Order](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range c.Messages(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value.ID != last+1 {
			t.Fatalf("order %d lies behind %d", m.Value.ID, last)
		}
		last++
	}
	return last
}

// Every acknowledged order survives a kill at any moment, and every order is processed: again, if it was processed
// after the last checkpoint, but never out of order and never not at all.
func TestKilledAtRandomMomentsItLosesNothing(t *testing.T) {
	kills := 3
	if s := os.Getenv("HEADRACE_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	var acked, processed, repeated, most uint64
	for kill := range kills {
		countdown := 1 + rand.IntN(40_000) // lines until the kill
		first := true
		child(t, dir, 10_000_000, func(what string, n uint64, signal func(os.Signal)) {
			switch what {
			case "acked":
				acked = max(acked, n)
			case "processed":
				if first && n > processed+1 {
					t.Fatalf("kill %d: processing goes on at %d, order %d was the last one before", kill, n, processed)
				}
				if first {
					repeated += processed + 1 - n
					most = max(most, processed+1-n)
				} else if n != processed+1 {
					t.Fatalf("kill %d: order %d was processed after %d", kill, n, processed)
				}
				first = false
				processed = n
			}
			if countdown--; countdown == 0 {
				signal(syscall.SIGKILL)
			}
		})
		if last := audit(t, dir); last < acked {
			t.Fatalf("kill %d: %d orders are in the stream, %d were acknowledged", kill, last, acked)
		}
	}
	t.Logf("%d kills: %d orders acknowledged, all there and in order; %d processed, %d of them again after a restart (at most %d at once)",
		kills, acked, processed, repeated, most)
	if most > 10_000+1000 {
		t.Errorf("%d orders were processed again, the checkpoint is saved every 10,000", most)
	}
}

func TestInterruptedItStoresWhatItAccepted(t *testing.T) {
	dir := t.TempDir()
	var acked uint64
	began := time.Now()
	sent := false
	child(t, dir, 10_000_000, func(what string, n uint64, signal func(os.Signal)) {
		if what == "acked" {
			acked = n
		}
		if !sent && acked > 5000 {
			sent = true
			signal(os.Interrupt)
		}
	})
	if last := audit(t, dir); last != acked {
		t.Errorf("%d orders in the stream, %d acknowledged", last, acked)
	}
	t.Logf("%d orders, ended %v after its start", acked, time.Since(began).Round(time.Millisecond))
}
