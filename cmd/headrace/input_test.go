package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
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

// A signal ends the question of rm, and nothing is deleted.
func TestRmEndsWhileNobodyAnswers(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	s.run(exitOK, "create", u)
	ctx, signal := context.WithCancel(t.Context())
	in, answer := io.Pipe()
	defer answer.Close()
	asked, question := io.Pipe()
	defer asked.Close()
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"rm", u}, streams{in, &stdout, question}) }()
	if _, err := io.ReadFull(asked, make([]byte, len("Delete"))); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, asked)
	signal()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	s.run(exitOK, "head", u)
}

func TestUntilTakesOnlyWholeNumbers(t *testing.T) {
	for s, want := range map[string]int{"+5": 5, "+05": 5, "+5x": 0, "+": 0, "+0": 0, "+-1": 0, "+1.5": 0} {
		e, err := parseEnd(s, time.Now())
		if e.records != want || (err == nil) != (want > 0) {
			t.Errorf("--until %s: %d records, %v", s, e.records, err)
		}
	}
}
