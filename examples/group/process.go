package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// A job is the configuration of a worker. The worker's process gets it in an environment variable.
type job struct {
	Driver, DSN string
	Server      string
	Lease       time.Duration
}

func (j job) dialect() sqlstore.Dialect {
	if j.Driver == "sqlite" {
		return sqlstore.SQLite
	}
	return sqlstore.PostgreSQL
}

const (
	nameVariable = "GROUP_EXAMPLE_WORKER"
	jobVariable  = "GROUP_EXAMPLE_JOB"
)

func workerJob() (name string, j job, ok bool) {
	name = os.Getenv(nameVariable)
	return name, j, name != "" && json.Unmarshal([]byte(os.Getenv(jobVariable)), &j) == nil
}

// A process runs a worker.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// start runs this program again in a new process, as a worker.
func start(j job, name string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), nameVariable+"="+name, jobVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, stdin}, cmd.Start()
}

// kill ends the process without any cleanup, as a power cut does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// end asks the process to give its streams back, and waits for its end.
func (p *process) end() error {
	_ = p.stdin.Close()
	return p.cmd.Wait()
}
