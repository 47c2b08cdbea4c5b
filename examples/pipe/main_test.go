package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/examples/internal/airpb"
)

func TestMain(m *testing.M) {
	if os.Getenv("PIPE_CHILD") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

const readings = 20_000

// child runs the program and kills it after so many lines; it returns whether it came to its end before.
func child(t *testing.T, dir string, lines int) (finished bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-dir", dir, "-readings", fmt.Sprint(readings))
	cmd.Env = append(os.Environ(), "PIPE_CHILD=1", "ZEROBUS_ENDPOINT=", "ZEROBUS_TABLE=")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.HasPrefix(s.Text(), "moved") {
			if lines--; lines == 0 {
				_ = cmd.Process.Kill()
			}
		}
	}
	return cmd.Wait() == nil
}

// Every valid reading is in the table and every other among the dead letters, whenever the pipe was killed, and first copies
// are in order.
func TestKilledAtRandomItLosesNothing(t *testing.T) {
	dir := t.TempDir()
	kills := 0
	for !child(t, dir, 1+rand.IntN(8)) {
		if kills++; kills > 50 {
			t.Fatal("the pipe does not get on")
		}
	}
	next, repeated := int64(0), 0
	for number := range rows(t, dir) {
		for invalid(next) {
			next++
		}
		switch {
		case number == next:
			next++
		case number < next:
			repeated++
		default:
			t.Fatalf("reading %d is not in the table before %d", next, number)
		}
	}
	if next < readings-1 {
		t.Errorf("the table ends before reading %d", next)
	}
	if n := deadLetters(t, dir); n < readings/100 {
		t.Errorf("%d dead letters, want one for each of the %d invalid readings", n, readings/100)
	}
	t.Logf("%d kills: nothing missing, %d rows twice", kills, repeated)
}

// rows yields the numbers of the rows in the order of the table. A line that a kill cut short was never acknowledged.
func rows(t *testing.T, dir string) func(func(int64) bool) {
	f, err := os.Open(filepath.Join(dir, "rows.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return func(yield func(int64) bool) {
		for s := bufio.NewScanner(f); s.Scan(); {
			var line struct{ Proto []byte }
			if json.Unmarshal(s.Bytes(), &line) != nil {
				continue
			}
			var r airpb.Reading
			if err := proto.Unmarshal(line.Proto, &r); err != nil {
				t.Fatal(err)
			}
			if !yield(r.GetNumber()) {
				return
			}
		}
	}
}

func deadLetters(t *testing.T, dir string) (n int) {
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := consumer.New(db.Stream("dead letters"), codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Messages(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
