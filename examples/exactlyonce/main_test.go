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

// TestKilled kills the program with SIGKILL at random moments, 3 times over 30,000 payments: HEADRACE_KILLS is how often instead, and
// HEADRACE_LONG=1 means 50 times over a million.
func TestKilled(t *testing.T) {
	kills, payments := 3, 30_000
	if os.Getenv("HEADRACE_LONG") == "1" {
		kills, payments = 50, 1_000_000
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
	killed := 0
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, "EXACTLYONCE_POSTGRES="+dsn, "EXACTLYONCE_PAYMENTS="+strconv.Itoa(payments))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+mathrand.N(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		if cmd.Wait() != nil {
			killed++
		}
		timer.Stop()
	}
	if err := run(t.Context(), dir, dsn, payments); err != nil {
		t.Errorf("after %d kills: %v", killed, err)
	}
	t.Logf("%d of %d runs over %d payments were killed in the middle", killed, kills, payments)
}
