package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// impatient lets commands give up after one attempt.
func impatient(t *testing.T) {
	before := patience
	patience = 0
	t.Cleanup(func() { patience = before })
}

// deadAddress is an address where nothing listens. A port that was free a moment ago will not do: another test may get it.
const deadAddress = "127.0.0.1:1"

func TestACommandWithAWrongAddressEndsAndSaysWhereTheAddressComesFrom(t *testing.T) {
	impatient(t)
	s := newShell(t)
	dead := deadAddress
	t.Setenv("S2_ACCESS_TOKEN", "any")
	t.Setenv("S2_ACCOUNT_ENDPOINT", "http://"+dead)
	t.Setenv("S2_BASIN_ENDPOINT", "http://"+dead)
	ds, here := "ds+http://"+dead+"/v1/stream/n", s.url("a.db", "n")
	s.run(exitOK, "create", here)
	place := "file:" + s.dir + "/places"
	for _, c := range []struct{ address, from string }{{ds, "from the URL"}, {"s2://development/n", "S2_BASIN_ENDPOINT"}} {
		for _, args := range [][]string{
			{"tail", c.address}, {"tail", c.address, "--from", "start"}, {"produce", c.address}, {"create", c.address}, {"head", c.address},
			{"lag", c.address, place, "k"}, {"copy", c.address, here, "--checkpoint", place}, {"copy", here, c.address, "--checkpoint", place},
			{"bench", c.address}, {"dlq", "list", c.address}, {"dlq", "redrive", c.address, here, "--checkpoint", place},
		} {
			_, errs := s.run(exitFailed, args...)
			for _, want := range []string{"refused", dead, "is the server running?", c.from} {
				if !strings.Contains(errs, want) {
					t.Errorf("%v said %q, without %q", args, errs, want)
				}
			}
		}
	}
}

func TestACommandAtAServerOfAnotherKindSaysSo(t *testing.T) {
	s := newShell(t)
	other, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Shutdown(t.Context())
	s2, err := startS2(&serveCmd{S2: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s2.Shutdown(t.Context())
	t.Setenv("S2_ACCESS_TOKEN", "any")
	base := strings.TrimSuffix(other.Address(), streamRoot)
	for _, endpoint := range []string{base, s2.Address() + "/wrong"} {
		t.Setenv("S2_ACCOUNT_ENDPOINT", endpoint)
		t.Setenv("S2_BASIN_ENDPOINT", endpoint)
		for _, args := range [][]string{{"tail", "s2://development/n", "--from", "start"}, {"create", "--basin", "s2://development/n"}} {
			if _, errs := s.run(exitFailed, args...); !strings.Contains(errs, "of another kind, or the path is wrong") || !strings.Contains(errs, "S2_BASIN_ENDPOINT") {
				t.Errorf("%v at %s said %q", args, endpoint, errs)
			}
		}
	}
	if _, errs := s.run(exitFailed, "tail", "ds+"+s2.Address()+"/v1/stream/n", "--from", "start"); !strings.Contains(errs, "of another kind") {
		t.Errorf("tail said %q", errs)
	}
}

func TestAdviceIsGivenOnlyWhereItFits(t *testing.T) {
	refused := fmt.Errorf("the connection failed: %w", syscall.ECONNREFUSED)
	for _, c := range []struct {
		err  error
		args []string
		want string
	}{
		{refused, []string{"produce", "zerobus://a.b.c"}, "ZEROBUS_ENDPOINT"},
		{refused, []string{"produce", "bolt:a.db?stream=n"}, ""},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "nowhere"}), []string{"tail", "ds+http://nowhere/n"}, "no host with this name"},
		{fmt.Errorf("stream_not_found: %w", backend.ErrNotFound), []string{"tail", "s2://b/n"}, "headrace create"},
		{backend.ErrNotFound, []string{"produce", "zerobus://a.b.c"}, ""},
		{backend.ErrOutOfRange, []string{"tail", "bolt:a.db?stream=n"}, "an offset as tail prints it"},
		{errors.New("other"), nil, ""},
	} {
		if got := advice(c.err, c.args); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%v of %v: %q", c.err, c.args, got)
		}
	}
}

func TestAWordIsNoPlaceInAStream(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	s.run(exitOK, "create", u)
	for _, args := range [][]string{
		{"tail", u, "--from", "yesterday"}, {"copy", u, "mem:", "--start", "yesterday"},
		{"checkpoint", "reset", "file:" + s.dir + "/places", "k", "yesterday"},
	} {
		_, errs := s.run(exitUsage, args...)
		for _, want := range []string{"start, now, -N", "an offset as tail prints it", "a time (2026-", "a duration (1h"} {
			if !strings.Contains(errs, want) {
				t.Errorf("%v said %q, without %q", args, errs, want)
			}
		}
	}
}

func TestMissingArgumentsAreToldWithWhatTheyAreFor(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct {
		args  []string
		wants []string
	}{
		{[]string{"dlq", "redrive", "bolt:a.db?stream=d", "bolt:a.db?stream=n"},
			[]string{"missing flags: --checkpoint=STORE", "--checkpoint=STORE: Where the redrive keeps its place: file:PATH", "Try: headrace dlq redrive --help"}},
		{[]string{"copy", "mem:"}, []string{`expected "<to>"`, "Usage: headrace copy <from> <to>", "Try: headrace copy --help"}},
		{[]string{"copy", "mem:", "mem:", "--nope"}, []string{"unknown flag --nope", "Try: headrace copy --help"}},
		{[]string{"nope"}, []string{"Try: headrace --help"}},
	} {
		_, errs := s.run(exitUsage, c.args...)
		for _, want := range c.wants {
			if !strings.Contains(errs, want) {
				t.Errorf("%v said %q, without %q", c.args, errs, want)
			}
		}
	}
}
