package zerobus_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// serveEnv turns the test binary into a server, until its standard input ends.
const serveEnv = "ZEROBUS_TEST_SERVE"

// served has the addresses of a server of the benchmarks.
type served struct {
	endpoint, unityCatalog string
	process                int // id of the server's process; 0 for this process
}

// processorTime is the time that the process of the server has used on all processors, as Linux counts it: 0 elsewhere, and for
// a server in this process.
func (s served) processorTime() (used time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.process))
	for _, name := range tasks {
		var ns time.Duration
		if text, err := os.ReadFile(name); err == nil {
			_, _ = fmt.Sscan(string(text), &ns)
		}
		used += ns
	}
	return used
}

func (s served) target() string { return strings.TrimPrefix(s.endpoint, "http://") }

func (s served) config() zerobus.Config {
	return zerobus.Config{Endpoint: s.endpoint, UnityCatalog: s.unityCatalog, ClientID: "id", ClientSecret: "secret"}
}

// discarding makes a server count rows without keeping them.
func discarding() []zerobustest.Option {
	return []zerobustest.Option{zerobustest.Table(table), zerobustest.DiscardRows(), zerobustest.AnyToken()}
}

// sameProcess serves in this process.
func sameProcess(b *testing.B) served {
	b.Helper()
	s := zerobustest.New(b, discarding()...)
	return served{endpoint: s.Endpoint, unityCatalog: s.UnityCatalogURL}
}

// otherProcess serves in another process, which ends with the benchmark.
func otherProcess(b *testing.B) (s served) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.process = cmd.Process.Pid
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the server's process: %v", err)
		}
	})
	if _, err := fmt.Fscanln(bufio.NewReader(stdout), &s.endpoint, &s.unityCatalog); err != nil {
		b.Fatalf("the server's process said no address: %v", err)
	}
	return s
}

// serveIfAsked serves if this is the other process.
func serveIfAsked() {
	if os.Getenv(serveEnv) == "" {
		return
	}
	s, err := zerobustest.Start(discarding()...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Endpoint, s.UnityCatalogURL)
	_, _ = io.Copy(io.Discard, os.Stdin) // the end of it is all that matters
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}
