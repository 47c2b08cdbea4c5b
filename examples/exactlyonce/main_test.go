package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const childDir = "EXACTLYONCE_DIR"

// TestMain is also the child process of TestKilled.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		n, _ := strconv.Atoi(os.Getenv("EXACTLYONCE_PAYMENTS"))
		if err := run(context.Background(), dir, n); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestEachPaymentCountsOnce(t *testing.T) {
	if err := run(t.Context(), t.TempDir(), 300); err != nil {
		t.Error(err)
	}
}

// TestKilled kills the program with SIGKILL at random moments; HEADRACE_KILLS is how often, 3 unless given.
func TestKilled(t *testing.T) {
	kills, payments := 3, 3000
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	killed := 0
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, "EXACTLYONCE_PAYMENTS="+strconv.Itoa(payments))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+rand.N(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		if cmd.Wait() != nil {
			killed++
		}
		timer.Stop()
	}
	if err := run(t.Context(), dir, payments); err != nil {
		t.Errorf("after %d kills: %v", killed, err)
	}
	t.Logf("%d of %d runs were killed in the middle", killed, kills)
}
