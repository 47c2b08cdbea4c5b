package s2_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/server"
)

// serverMark is the environment variable that turns the test binary into a server for benchmarks.
const serverMark = "HEADRACE_S2_BENCH_SERVER"

// serveBench runs the server until its standard input ends, so that the server never outlives its parent.
func serveBench() error {
	s, err := server.New(server.Config{Basins: []server.Basin{{Name: basinName, AutoCreate: true}}, Retain: 256 << 20})
	if err != nil {
		return err
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// An address is a server to be measured. pid is 0 for a server in the process of the benchmark.
type address struct {
	url, token string
	pid        int
}

// apart starts a server in a process of its own. Then the processor time and the garbage collector of the client are
// measured alone.
func apart(b *testing.B) address {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), serverMark+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	check(b, err)
	out, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the server: %v", err)
		}
	})
	a := address{token: "any-token", pid: cmd.Process.Pid}
	_, err = fmt.Fscan(out, &a.url)
	check(b, err)
	return a
}

func (a address) dial(b *testing.B, opts ...s2.Option) *s2.Client {
	b.Helper()
	c, err := s2.New(s2.Config{Token: a.token, AccountEndpoint: a.url, BasinEndpoint: a.url}, opts...)
	check(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// measure returns what reports the records per second since then and, with a server apart, the processor time of both
// processes for each of n records.
func (a address) measure(b *testing.B) (report func(n int)) {
	ours, told := spent(os.Getpid())
	theirs, _ := spent(a.pid)
	return func(n int) {
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		if a.pid == 0 || !told {
			return
		}
		after, _ := spent(os.Getpid())
		behind, _ := spent(a.pid)
		b.ReportMetric((after-ours).Seconds()/float64(n)*1e9, "client-cpu-ns/record")
		b.ReportMetric((behind-theirs).Seconds()/float64(n)*1e9, "server-cpu-ns/record")
	}
}

// spent is the processor time of a process so far. told is false where the system does not tell the time.
func spent(pid int) (d time.Duration, told bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the name may have spaces
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err1 == nil && err2 == nil // ticks are 1/100 s on Linux
}
