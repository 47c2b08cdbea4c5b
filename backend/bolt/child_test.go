package bolt_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

// The test binary starts itself again as another process, which does what this variable says with the file named behind it.
const childEnv = "HEADRACE_BOLT_CHILD"

func child(t *testing.T, job, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+job+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// runChild does the job of a child process.
func runChild(job, path string) error {
	switch job {
	case "open":
		db, err := bolt.Open(path)
		fmt.Println(errors.Is(err, bolt.ErrInUse), err)
		if err != nil {
			return nil
		}
		return db.Close()
	case "append":
		return appendForEver(path)
	case "fill":
		return fillUp(path)
	}
	return fmt.Errorf("unknown job %q", job)
}

// appendForEver appends batches to two streams and prints after each ack how many records of which stream are durable.
func appendForEver(path string) error {
	db, err := bolt.Open(path)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for _, name := range []string{"a", "b"} {
		go func() { failed <- appendStream(db, name) }()
	}
	return <-failed
}

func appendStream(db *bolt.DB, name string) error {
	s := db.Stream(name)
	n := 0
	if r, err := s.OpenReader(ctx, backend.Latest); err != nil {
		return err
	} else if b, err := r.Read(ctx); err != nil {
		return err
	} else if n, err = strconv.Atoi(number(b.Next)); err != nil {
		return err
	}
	one, err := s.NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		return err
	}
	ends := make(chan int, 8) // where each batch sent ends
	go func() {
		for seq := uint64(0); ; seq++ {
			size := 1 + rand.IntN(300)
			if one.Send(ctx, seq, values(n, n+size)) != nil {
				return
			}
			n += size
			ends <- n
		}
	}()
	for {
		if _, err := one.Recv(ctx); err != nil {
			return err
		}
		if _, err := fmt.Println(name, <-ends); err != nil {
			return err
		}
	}
}

// A process is killed in the middle of its work, again and again. Everything it had acknowledged is there, in order.
func TestKill(t *testing.T) {
	path := tempFile(t)
	for range 10 {
		cmd := child(t, "append", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := map[string]int{}
		lines := bufio.NewScanner(out)
		for left := 1 + rand.IntN(60); lines.Scan(); left-- {
			name, n, _ := strings.Cut(lines.Text(), " ")
			if acked[name], err = strconv.Atoi(n); err != nil {
				t.Fatalf("child said %q", lines.Text())
			}
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		if len(acked) == 0 {
			t.Fatal("the child appended nothing")
		}
		db, err := bolt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range acked {
			recs := readAll(t, db.Stream(name), backend.Earliest)
			if len(recs) < n {
				t.Fatalf("stream %s: %d records, %d were acknowledged", name, len(recs), n)
			}
			wantValues(t, recs, 0, len(recs))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondProcess(t *testing.T) {
	path := tempFile(t)
	openFile(t, path)
	out, err := child(t, "open", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(out); !strings.HasPrefix(s, "true ") || !strings.Contains(s, path) {
		t.Errorf("another process: %s", out)
	}
	if _, err := bolt.Open(path); !errors.Is(err, bolt.ErrInUse) { // a second Open in this one
		t.Errorf("got %v", err)
	}
}
