package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// An Event is a line of go test -json.
type Event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

func (e Event) check() error {
	if e.Action == "" {
		return errors.New("an event without an Action")
	}
	return nil
}

// A summary counts events, and prints a line when a package has ended.
type summary struct {
	out                   io.Writer
	events                int
	passed, failed, other map[string]int // number of tests by package
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, passed: map[string]int{}, failed: map[string]int{}, other: map[string]int{}}
}

func (s *summary) add(e Event) {
	s.events++
	var count map[string]int
	switch e.Action {
	case "pass":
		count = s.passed
	case "fail":
		count = s.failed
	case "skip":
		count = s.other
	default:
		return
	}
	if e.Test != "" {
		count[e.Package]++
		return
	}
	fmt.Fprintf(s.out, "%-4s %s: %d passed, %d failed, %d skipped in %.2fs\n",
		e.Action, e.Package, s.passed[e.Package], s.failed[e.Package], s.other[e.Package], e.Elapsed)
}

func (s *summary) end() { fmt.Fprintf(s.out, "%d events\n", s.events) }
