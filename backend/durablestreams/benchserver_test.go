package durablestreams_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// child is the test binary as a server, on a file or in memory. It ends with its standard input, so that it
// never outlives its parent.
func child(file string) error {
	if file == "strict" {
		h := httptest.NewServer(newStrict(false))
		defer h.Close()
		fmt.Println(strings.TrimPrefix(h.URL, "http://"))
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	if file == "memory" {
		file = ""
	}
	s, err := server.New(server.Config{Data: file})
	if err != nil {
		return err
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(strings.TrimPrefix(s.URL(), "http://"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Shutdown(context.Background())
}

// A process is a server to be measured: ours, or the official one.
type process struct {
	cmd  *exec.Cmd
	base string
}

// eachServer runs a benchmark against our server, on both storages, and against the official one where it is installed. Each
// is a process of its own.
func eachServer(b *testing.B, bench func(b *testing.B, p *process)) {
	onServers(b, bench, "memory", "bolt", "reference")
}

func onServers(b *testing.B, bench func(b *testing.B, p *process), kinds ...string) {
	b.Helper()
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			cmd := exec.Command(os.Args[0])
			switch kind {
			case "reference":
				cmd = exec.Command("node", "reference.mjs")
				if cmd.Dir = os.Getenv("HEADRACE_DURABLE_STREAMS_REFERENCE"); cmd.Dir == "" {
					b.Skip("HEADRACE_DURABLE_STREAMS_REFERENCE does not name the folder where .ci/durablestreams-reference installs the official server")
				}
			case "memory", "strict":
				cmd.Env = append(os.Environ(), "HEADRACE_SERVE="+kind)
			case "bolt":
				cmd.Env = append(os.Environ(), "HEADRACE_SERVE="+filepath.Join(b.TempDir(), "streams.db"))
			}
			bench(b, startProcess(b, cmd))
		})
	}
}

func startProcess(b *testing.B, cmd *exec.Cmd) *process {
	b.Helper()
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
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the server: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal("the server did not start: ", err)
	}
	at, official := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !official {
		at = "http://" + at
	}
	return &process{cmd, at}
}

// stream makes a stream of JSON.
func (p *process) stream(b *testing.B, opts ...durablestreams.Option) *durablestreams.Stream {
	b.Helper()
	c, err := durablestreams.New(p.base+"/v1/stream", opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	s := c.Stream("bench")
	if _, err := s.Create(context.Background(), "application/json"); err != nil {
		b.Fatal(err)
	}
	return s
}

// spent is the processor time of a process so far; false where the system does not tell it.
func spent(pid int) (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the name may have spaces
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err1 == nil && err2 == nil // ticks are 1/100 s on Linux
}

// measure runs op, which moves n records, and reports records and processor time, that of the client and the server apart.
func (p *process) measure(b *testing.B, n int, op func()) {
	b.Helper()
	b.ReportAllocs()
	ours, told := spent(os.Getpid())
	theirs, _ := spent(p.cmd.Process.Pid)
	rounds := 0
	for b.Loop() {
		op()
		rounds++
	}
	records := float64(rounds) * float64(n)
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	if told {
		after, _ := spent(os.Getpid())
		behind, _ := spent(p.cmd.Process.Pid)
		b.ReportMetric((after-ours).Seconds()/records*1e9, "client-cpu-ns/record")
		b.ReportMetric((behind-theirs).Seconds()/records*1e9, "server-cpu-ns/record")
	}
}
