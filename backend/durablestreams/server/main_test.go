package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/internal/waiting"
	"go.uber.org/goleak"
)

// The test binary is also the server that tests and benchmarks run as another process: HEADRACE_SERVE names its file, or
// "memory".
func TestMain(m *testing.M) {
	if file := os.Getenv("HEADRACE_SERVE"); file != "" {
		if err := child(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	waiting.AtOnce(8)
	goleak.VerifyTestMain(m)
}

// child serves until its standard input ends, which it also does when the parent is gone.
func child(file string) error {
	if file == "memory" {
		file = ""
	}
	s, err := server.New(server.Config{Data: file})
	if err != nil {
		return err
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		return err
	}
	fmt.Println(strings.TrimPrefix(s.URL(), "http://"))
	// Each line asks how the process is.
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadString('\n'); err != nil {
			return nil
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(runtime.NumGoroutine(), m.HeapInuse+m.StackInuse)
	}
}

type process struct {
	cmd *exec.Cmd
	url string
	end func()
	ask func() (goroutines int, bytes int64)
}

// start runs a server in another process.
func start(tb testing.TB, file string) *process {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HEADRACE_SERVE="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		tb.Fatal("the server did not start: ", err)
	}
	p := &process{cmd: cmd, url: "http://" + line[:len(line)-1]}
	p.ask = func() (goroutines int, bytes int64) {
		if _, err := fmt.Fprintln(in); err != nil {
			tb.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := fmt.Sscan(line, &goroutines, &bytes); err != nil {
			tb.Fatal(err)
		}
		return goroutines, bytes
	}
	p.end = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	return p
}

// each runs f against a handler over every storage.
func each(t *testing.T, f func(t *testing.T, url string), opts ...durablestreamstest.Option) {
	t.Helper()
	for name, open := range storages(t) {
		t.Run(name, func(t *testing.T) {
			storage, end := open()
			h := durablestreamstest.Handler(storage, opts...)
			s := httptest.NewServer(h)
			t.Cleanup(func() {
				_ = h.Close()
				s.Close()
				http.DefaultClient.CloseIdleConnections()
				if err := end(); err != nil {
					t.Error(err)
				}
			})
			f(t, s.URL)
		})
	}
}

func storages(t testing.TB, opts ...server.StorageOption) map[string]func() (server.Storage, func() error) {
	return map[string]func() (server.Storage, func() error){
		"memory": func() (server.Storage, func() error) {
			m := server.NewMemory(opts...)
			return m, m.Close
		},
		"bolt": func() (server.Storage, func() error) {
			b, err := server.OpenBolt(filepath.Join(t.TempDir(), "streams.db"), opts...)
			if err != nil {
				t.Fatal(err)
			}
			return b, b.Close
		},
	}
}

// until waits for a condition that other goroutines bring about.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			tb.Fatal("never: ", what, ": ", errors.New("gave up after 2 min"))
		case <-tick.C:
		}
	}
}
