package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// After a signal, produce does not wait for the next line, and stores what it has read. A line that was cut is not stored.
func TestProduceEndsWhileNobodyWrites(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	ctx, signal := context.WithCancel(t.Context())
	in, lines := io.Pipe()
	defer lines.Close()
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"produce", u}, streams{in, &stdout, &stderr}) }()
	if _, err := io.WriteString(lines, "a\nb\nhalf"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(lines, " a line"); err != nil { // what was written before has been taken
		t.Fatal(err)
	}
	signal()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if strings.Contains(stderr.String(), "3 records") {
		t.Errorf("half a line was stored: %s", &stderr)
	}
}
