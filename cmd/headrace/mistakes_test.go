package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// says fails the test if a text lacks one of the words.
func says(t *testing.T, what any, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%v said %q, without %q", what, text, word)
		}
	}
}

func TestAMistypedNameOfAStreamIsNoEmptyStream(t *testing.T) {
	s := newShell(t)
	s.in = numbers(0, 3)
	s.run(exitOK, "produce", s.url("a.db", "orders"))
	wrong, place := s.url("a.db", "order"), "file:"+s.dir+"/places"
	for _, args := range [][]string{
		{"tail", wrong, "--until", "now"}, {"head", wrong}, {"lag", wrong, place, "k"}, {"copy", wrong, "mem:", "--checkpoint", place},
		{"dlq", "list", wrong}, {"dlq", "redrive", wrong, "mem:", "--checkpoint", place}, {"seal", wrong}, {"rm", "-y", wrong},
	} {
		_, errs := s.run(exitFailed, args...)
		says(t, args, errs, `no stream "order"`, "orders")
	}
}

func TestAMissingStoreOfCheckpointsIsNotMadeByALook(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	s.run(exitOK, "create", u)
	for _, scheme := range []string{"file:", "bolt:", "sqlite:"} {
		path := filepath.Join(s.dir, "missing")
		for _, args := range [][]string{
			{"lag", u, scheme + path, "k"}, {"checkpoint", "list", scheme + path}, {"checkpoint", "show", scheme + path, "k"},
		} {
			_, errs := s.run(exitFailed, args...)
			says(t, args, errs, "there is no file "+path)
			if _, err := os.Stat(path); err == nil {
				t.Fatalf("%v made %s", args, path)
			}
		}
	}
}

func TestACopyOntoItselfIsRefused(t *testing.T) {
	s := newShell(t)
	u, place := s.url("a.db", "n"), "file:"+s.dir+"/places"
	s.in = numbers(0, 3)
	s.run(exitOK, "produce", u)
	for _, args := range [][]string{{"copy", u, u, "--checkpoint", place}, {"dlq", "redrive", u, u, "--checkpoint", place}} {
		_, errs := s.run(exitUsage, args...)
		says(t, args, errs, "two different streams")
	}
}

func TestAResetOfANewKeySaysThatTheKeyIsNew(t *testing.T) {
	s := newShell(t)
	place := "file:" + s.dir + "/places"
	_, errs := s.run(exitOK, "checkpoint", "reset", place, "k", "start")
	says(t, "reset", errs, "there was no checkpoint k")
	if _, errs := s.run(exitOK, "checkpoint", "reset", place, "k", "start"); errs != "" {
		t.Errorf("the second reset said %q", errs)
	}
}

func TestHelpAndVersionAreCommandsToo(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct{ args, same []string }{
		{[]string{"help"}, []string{"--help"}},
		{[]string{"help", "tail"}, []string{"tail", "--help"}},
		{[]string{"version"}, []string{"--version"}},
	} {
		got, _ := s.run(exitOK, c.args...)
		if want, _ := s.run(exitOK, c.same...); got != want || got == "" {
			t.Errorf("%v printed %q, want %q", c.args, got, want)
		}
	}
}

func TestAStreamWithoutTimesHasNoAgeToPrint(t *testing.T) {
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	u, place := "ds+"+server.Address()+"n", "file:"+s.dir+"/places"
	s.run(exitOK, "create", u, "--content-type", "application/json")
	s.in = numbers(0, 3)
	s.run(exitOK, "produce", "--json", u)
	s.run(exitOK, "checkpoint", "reset", place, "k", "start")
	out, _ := s.run(exitOK, "lag", u, place, "k")
	says(t, "lag", out, "an unknown number of records behind", "no time")
	if strings.Contains(out, "0s old") {
		t.Errorf("lag said %q", out)
	}
}

func TestAFailedCopyCountsWhatWasReadAndSaysSo(t *testing.T) {
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	from, to := s.url("a.db", "n"), "ds+"+server.Address()+"n"
	s.in = numbers(0, 3)
	s.run(exitOK, "produce", from)
	s.run(exitOK, "create", to, "--content-type", "application/json")
	_, errs := s.run(exitFailed, "copy", from, to, "--checkpoint", "file:"+s.dir+"/places")
	says(t, "copy", errs, "read 3 records", "not complete", "--json")
	if strings.Contains(errs, "copied 3") {
		t.Errorf("a copy that stored nothing said %q", errs)
	}
}

func TestAMistakeAtAServerIsExplained(t *testing.T) {
	impatient(t)
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	u := "ds+" + server.Address()
	s.run(exitOK, "create", u+"n", "--content-type", "application/json")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"create", u + "n"}, exitFailed, "--content-type"},
		{[]string{"head", u + "missing"}, exitFailed, "headrace create makes a stream"},
		{[]string{"produce", u + "missing"}, exitFailed, "headrace create makes a stream"},
		{[]string{"tail", "zerobus://a.b.c"}, exitFailed, "can only be written"},
		{[]string{"serve", "--durable-streams", "4437"}, exitFailed, "HOST:PORT"},
	} {
		_, errs := s.run(c.code, c.args...)
		says(t, c.args, errs, c.want)
	}
}

func TestACommandMayNameOneFileSeveralTimes(t *testing.T) {
	s := newShell(t)
	from, places := s.url("a.db", "n"), "bolt:"+filepath.Join(s.dir, "a.db")
	s.in = numbers(0, 5)
	s.run(exitOK, "produce", from)
	s.run(exitOK, "copy", from, s.url("a.db", "copy"), "--checkpoint", places)
	if out, _ := s.run(exitOK, "tail", s.url("a.db", "copy"), "--until", "now", "-o", "raw"); out != numbers(0, 5) {
		t.Errorf("the copy has %q", out)
	}
	s.run(exitOK, "checkpoint", "reset", places, "n/billing", "start")
	if out, _ := s.run(exitOK, "lag", from, places, "n/billing"); !strings.HasPrefix(out, "5 records") {
		t.Errorf("lag printed %q", out)
	}
}

func TestATooLongLineNamesTheFlag(t *testing.T) {
	s := newShell(t)
	s.in = "short\n" + strings.Repeat("x", 100) + "\n"
	_, errs := s.run(exitFailed, "produce", s.url("a.db", "n"), "--max-line", "50")
	says(t, "produce", errs, "line 2", "longer than 50 bytes", "--max-line", "1 records durable")
}

func TestAPlaceThatDoesNotFitIsExplainedByTheCommand(t *testing.T) {
	s := newShell(t)
	u, place := s.url("a.db", "n"), "file:"+s.dir+"/places"
	s.in = numbers(0, 3)
	s.run(exitOK, "produce", u)
	s.run(exitOK, "checkpoint", "reset", place, "k", "99")
	for _, c := range []struct {
		code       int
		args       []string
		want, lack string
	}{
		{exitUsage, []string{"trim", u, "start"}, "want an offset as tail prints it", "now"},
		{exitFailed, []string{"trim", u, "99"}, "trim takes the offset of a record", "now"},
		{exitFailed, []string{"lag", u, place, "k"}, "headrace checkpoint reset", "now"},
		{exitFailed, []string{"tail", u, "--from", "99"}, "start, now, -N", "reset"},
	} {
		_, errs := s.run(c.code, c.args...)
		if says(t, c.args, errs, c.want); strings.Contains(errs, c.lack) {
			t.Errorf("%v said %q, with %q", c.args, errs, c.lack)
		}
	}
}

func TestOtherRecordsAreNotTakenForDeadLetters(t *testing.T) {
	s := newShell(t)
	from, to := s.url("a.db", "n"), s.url("a.db", "to")
	s.in = "{\"a\":1}\n"
	s.run(exitOK, "produce", from)
	for _, args := range [][]string{{"dlq", "list", from}, {"dlq", "show", from, "0"}, {"dlq", "redrive", from, to, "--checkpoint", "file:" + s.dir + "/places"}} {
		_, errs := s.run(exitFailed, args...)
		says(t, args, errs, "no dead letter")
	}
	if out, _ := s.run(exitOK, "tail", to, "--until", "now"); out != "" {
		t.Errorf("redrive has sent %q", out)
	}
}

func TestAnEmptyStoreOfCheckpointsSaysThatItIsEmpty(t *testing.T) {
	s := newShell(t)
	places := "bolt:" + filepath.Join(s.dir, "places")
	s.run(exitOK, "checkpoint", "reset", places, "k", "start")
	_, errs := s.run(exitOK, "checkpoint", "list", places+"?bucket=other")
	says(t, "list", errs, "no checkpoints")
	if _, errs := s.run(exitOK, "checkpoint", "list", places); errs != "" {
		t.Errorf("list said %q", errs)
	}
}
