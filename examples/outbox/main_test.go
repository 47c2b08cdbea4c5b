package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/relay"
)

// TestMain is also the processes that TestKilled kills: OUTBOX_ROLE says which.
func TestMain(m *testing.M) {
	if role := os.Getenv("OUTBOX_ROLE"); role != "" {
		if err := child(context.Background(), role); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func child(ctx context.Context, role string) error {
	var w where
	if err := json.Unmarshal([]byte(os.Getenv("OUTBOX_WHERE")), &w); err != nil {
		return err
	}
	s, err := open(ctx, w)
	if err != nil {
		return err
	}
	defer s.close()
	if role == "relay" {
		// A relay that was killed may still have its connections for a moment, and may be replaced at any time.
		if err := s.relay(ctx); !errors.Is(err, backend.ErrFenced) {
			return err
		}
		return nil
	}
	n, err := strconv.Atoi(os.Getenv("OUTBOX_ORDERS"))
	if err != nil {
		return err
	}
	return s.take(ctx, n)
}

func dsn(t *testing.T) string {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	return dsn
}

func TestOrdersAreInBothSystems(t *testing.T) {
	if err := run(t.Context(), dsn(t), 200); err != nil {
		t.Error(err)
	}
}

// TestKilled kills the writer and the relays with SIGKILL at random moments: 5 times each, or 30 times with HEADRACE_LONG=1.
func TestKilled(t *testing.T) {
	kills := 5
	if os.Getenv("HEADRACE_LONG") == "1" {
		kills = 30
	}
	w := world(t)
	const orders = 20_000
	writers := startKilling(t, w, "writer", orders, kills)
	relays := startKilling(t, w, "relay", 0, kills)
	killed := []int{<-writers, <-relays}
	s, err := open(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.relay(t.Context(), relay.StopAtTail()); err != nil {
		t.Fatal(err)
	}
	n, err := s.check(t.Context())
	if err != nil {
		t.Errorf("after %d kills of writers and relays: %v", killed, err)
	}
	t.Logf("%d orders were committed; %d writers and relays were killed while they worked", n, killed)
}

// panicked is the exit code of a Go program that has panicked. TestMain panics when the program fails.
const panicked = 2

// startKilling starts a program again and again, and kills it. It tells how many were killed before they ended by themselves.
func startKilling(t *testing.T, w where, role string, orders, kills int) <-chan int {
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	go func() {
		killed := 0
		for range kills {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "OUTBOX_ROLE="+role, "OUTBOX_WHERE="+string(text), "OUTBOX_ORDERS="+strconv.Itoa(orders))
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Error(err)
				break
			}
			timer := time.AfterFunc(time.Duration(100+mathrand.N(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			if cmd.Wait() != nil {
				killed++
			}
			timer.Stop()
			if cmd.ProcessState.ExitCode() == panicked {
				t.Errorf("a %s was not killed, and failed", role)
				break
			}
		}
		done <- killed
	}()
	return done
}

// world is a schema of its own, and servers that outlive the kills.
func world(t *testing.T) where {
	schema := "t" + strings.ToLower(rand.Text())
	pool, err := pgxpool.New(t.Context(), dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	w, end, err := servers(dsn(t) + " search_path=" + schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestShopWithAWrongAddressIsAnError(t *testing.T) {
	if s, err := open(t.Context(), where{Postgres: "port=none"}); err == nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
}
