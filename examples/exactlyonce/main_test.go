package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const childDir = "EXACTLYONCE_DIR"

// TestMain is also the child process of TestKilled.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		n, _ := strconv.Atoi(os.Getenv("EXACTLYONCE_PAYMENTS"))
		if err := run(context.Background(), dir, os.Getenv("EXACTLYONCE_POSTGRES"), n); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// databases give the DSN of an empty PostgreSQL database, "" for SQLite.
var databases = map[string]func(*testing.T) string{
	"SQLite":     func(*testing.T) string { return "" },
	"PostgreSQL": postgres,
}

func postgres(t *testing.T) string {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	schema := "t" + strings.ToLower(rand.Text())
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	return dsn + " search_path=" + schema
}

func TestEachPaymentCountsOnce(t *testing.T) {
	for name, dsn := range databases {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), t.TempDir(), dsn(t), 3000); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKilled kills the program with SIGKILL at random moments of its work, 3 times: HEADRACE_KILLS is how often instead, and
// HEADRACE_LONG=1 means 50 times. Each run gets more payments.
func TestKilled(t *testing.T) {
	kills, payments := 3, 10_000
	if os.Getenv("HEADRACE_LONG") == "1" {
		kills, payments = 50, 20_000
	}
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_KILLS")); err == nil {
		kills = n
	}
	for name, dsn := range databases {
		t.Run(name, func(t *testing.T) { testKilled(t, dsn(t), kills, payments) })
	}
}

func testKilled(t *testing.T, dsn string, kills, payments int) {
	dir := t.TempDir()
	// The first run makes the tables, and nobody kills it. PostgreSQL may refuse CREATE TABLE IF NOT EXISTS while it still makes the
	// same table for a program that was killed.
	began := time.Now()
	if err := run(t.Context(), dir, dsn, payments); err != nil {
		t.Fatal(err)
	}
	life := time.Since(began) // of a run that nobody kills, about
	killed, runs := 0, 1
	for killed < kills {
		if runs++; runs > 10+10*kills {
			t.Fatalf("only %d of %d runs were killed in the middle", killed, runs)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, "EXACTLYONCE_POSTGRES="+dsn, "EXACTLYONCE_PAYMENTS="+strconv.Itoa(runs*payments))
		cmd.Stderr = os.Stderr
		began = time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(mathrand.N(2*life), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		switch {
		case err == nil:
			life = time.Since(began)
		case cmd.ProcessState.ExitCode() == panicked:
			t.Fatalf("run %d was not killed, and failed", runs)
		default:
			killed++
			life += life / 8 // kill a slow program later, or no run would get far
		}
	}
	if err := run(t.Context(), dir, dsn, runs*payments); err != nil {
		t.Errorf("after %d kills: %v", killed, err)
	}
	t.Logf("%d of %d runs were killed in the middle, over %d payments", killed, runs, runs*payments)
}

// panicked is the exit code of a Go program that has panicked. TestMain panics when the program fails.
const panicked = 2
