//go:build unix

package handovers

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// A process runs a worker.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
}

func start(t *testing.T, j job, log io.Writer) *process {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{j.Name, cmd, stdin}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// end asks the process to give its streams back and to end.
func (p *process) end() error {
	_ = p.stdin.Close()
	return p.cmd.Wait()
}

// A tail keeps the last bytes of what is written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = append(l.last, b...); len(l.last) > 1<<16 {
		l.last = append([]byte(nil), l.last[len(l.last)-1<<14:]...)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}
