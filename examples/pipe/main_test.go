package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

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
	cmd.Env = append(os.Environ(), "PIPE_CHILD=1", "ZEROBUS_ENDPOINT=", "ZEROBUS_TABLE=", "DURABLE_STREAMS_URL=")
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
	err = cmd.Wait()
	if err != nil && lines > 0 {
		t.Fatalf("the program was not killed, and failed: %v", err)
	}
	return err == nil
}

// Every valid reading is in the table and every other among the dead letters, whenever the pipe was killed, and first copies
// are in order.
func TestKilledAtRandomItLosesNothing(t *testing.T) {
	t.Setenv("DURABLE_STREAMS_URL", "")
	dir := t.TempDir()
	kills := 0
	for !child(t, dir, 1+rand.IntN(8)+kills/4) { // a slow disk may need more than 8 lines to get on at all
		if kills++; kills > 150 {
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
	wantInvalid(t, deadLetters(t, dir), readings)
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

// deadLetters returns the numbers of the readings that are among the dead letters.
func deadLetters(t *testing.T, dir string) map[int64]bool {
	t.Helper()
	from, shut, err := streams(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := shut(); err != nil {
			t.Error(err)
		}
	}()
	c, err := consumer.New(from.letters, codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[int64]bool{}
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var r airpb.Reading
		if err := proto.Unmarshal(m.Value.Value, &r); err != nil {
			t.Fatal(err)
		}
		numbers[r.GetNumber()] = true
	}
	return numbers
}

// wantInvalid checks that the dead letters are the invalid ones of n readings.
func wantInvalid(t *testing.T, letters map[int64]bool, n int64) {
	t.Helper()
	for number := range n {
		if letters[number] != invalid(number) {
			t.Errorf("reading %d is among the dead letters: %v", number, letters[number])
		}
	}
}

func TestServerOfTheEnvironment(t *testing.T) {
	url, stop, err := serve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("DURABLE_STREAMS_URL", url)
	t.Setenv("ZEROBUS_ENDPOINT", "")
	dir := t.TempDir()
	if err := run(t.Context(), dir, 500); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "streams.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server of its own has a file: %v", err)
	}
	moved := 0
	for range rows(t, dir) {
		moved++
	}
	if moved != 495 {
		t.Errorf("%d rows, want 495", moved)
	}
	wantInvalid(t, deadLetters(t, dir), 500)
}
