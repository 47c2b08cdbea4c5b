package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A shell runs commands in a test.
type shell struct {
	t   *testing.T
	dir string
	in  string // standard input of the next command
}

func newShell(t *testing.T) *shell { return &shell{t: t, dir: t.TempDir()} }

// url returns the URL of a stream in the directory of the shell.
func (s *shell) url(file, stream string) string {
	return "bolt://" + filepath.Join(s.dir, file) + "?stream=" + stream
}

// run returns standard output and error of a command, which must end with the given code.
func (s *shell) run(code int, args ...string) (out, errs string) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	got := run(s.t.Context(), args, streams{strings.NewReader(s.in), &stdout, &stderr})
	if got != code {
		s.t.Fatalf("headrace %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func TestLinesAreWrittenAndReadBack(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	s.in = numbers(0, 100)
	if _, errs := s.run(exitOK, "produce", u, "-H", "from=test"); !strings.Contains(errs, "100 records durable, 0 failed") {
		t.Errorf("produce said %q", errs)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"all":           {[]string{"--from", "start", "--until", "now"}, numbers(0, 100)},
		"the last":      {[]string{"--from", "-3", "--until", "now"}, numbers(97, 100)},
		"by default":    {[]string{"--until", "now"}, numbers(90, 100)},
		"some":          {[]string{"--from", "start", "--until", "+5"}, numbers(0, 5)},
		"since an hour": {[]string{"--from", "1h", "--until", "now"}, numbers(0, 100)},
	} {
		t.Run(name, func(t *testing.T) {
			if out, _ := s.run(exitOK, append([]string{"tail", u, "-o", "raw"}, c.args...)...); out != c.want {
				t.Errorf("got %q", out)
			}
		})
	}
	out, _ := s.run(exitOK, "tail", u, "-o", "json", "--from=-1", "--until", "now")
	var l line
	if err := json.Unmarshal([]byte(out), &l); err != nil || l.JSON != 99.0 || len(l.Headers) != 1 || l.Headers[0] != (headerLine{"from", "test"}) {
		t.Errorf("%s: %+v, %v", out, l, err)
	}
	if out, _ := s.run(exitOK, "tail", u, "--from", string(l.Offset), "-o", "raw", "--until", "now"); out != "99\n" {
		t.Errorf("from %s: %q", l.Offset, out)
	}
	out, _ = s.run(exitOK, "head", u)
	if !strings.Contains(out, "first record") || !strings.Contains(out, string(l.Offset)) {
		t.Errorf("head: %s", out)
	}
}

func TestTailShowsARecordWhileItFollows(t *testing.T) {
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	u := "ds+" + server.Address() + "n"
	s.run(exitOK, "create", u)
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- exitError(run(ctx, []string{"tail", u, "--from", "start", "-o", "raw"}, streams{nil, w, io.Discard}))
		_ = w.Close()
	}()
	lines := bufio.NewReader(r)
	for _, record := range []string{"a\n", "b\n"} {
		s.in = record
		s.run(exitOK, "produce", u)
		if got, err := lines.ReadString('\n'); got != record { // without the record this waits for ever
			t.Fatalf("tail printed %q, want %q: %v", got, record, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACopyGoesOnWhereItStopped(t *testing.T) {
	s := newShell(t)
	from, to := s.url("a.db", "n"), s.url("b.db", "n")
	place := "file:" + filepath.Join(s.dir, "places")
	for i := range 3 {
		s.in = numbers(i*50, (i+1)*50)
		s.run(exitOK, "produce", from)
		_, errs := s.run(exitOK, "copy", from, to, "--checkpoint", place)
		if !strings.Contains(errs, "copied 50 records") || !strings.Contains(errs, "complete up to the tail") {
			t.Errorf("copy said %q", errs)
		}
	}
	if out, _ := s.run(exitOK, "tail", to, "--from", "start", "--until", "now", "-o", "raw"); out != numbers(0, 150) {
		t.Errorf("the copy holds %q", out)
	}
	s.in = numbers(150, 160)
	s.run(exitOK, "produce", from)
	if out, _ := s.run(exitOK, "lag", from, place, "copy "+from+" to "+to); !strings.HasPrefix(out, "10 records") {
		t.Errorf("lag: %q", out)
	}
	s.run(exitOK, "copy", from, to, "--checkpoint", place, "--key", "again")
	if out, _ := s.run(exitOK, "tail", to, "--from", "start", "--until", "now", "-o", "raw"); out != numbers(0, 150)+numbers(0, 160) {
		t.Errorf("under another key the copy holds %q", out)
	}
}

// A relay asks for the copy of a record again, when the record did not fit into a batch.
func TestACopyCountsEachRecordOnce(t *testing.T) {
	c := &transfer{copyCmd: &copyCmd{}, bar: &progress{}}
	for _, place := range []backend.Offset{"0", "1", "1", "2", "2", "3"} {
		c.convert(backend.Record{Offset: place, Value: []byte("four")})
	}
	if n, bytes := c.bar.records.Load(), c.bar.bytes.Load(); n != 4 || bytes != 16 {
		t.Errorf("counted %d records and %d bytes, want 4 and 16", n, bytes)
	}
}

func TestAllPlacesOfAStoreAreListed(t *testing.T) {
	s := newShell(t)
	for _, place := range []string{"file:" + filepath.Join(s.dir, "places"), "bolt:" + filepath.Join(s.dir, "places.db"), "sqlite:" + filepath.Join(s.dir, "places.sqlite")} {
		s.run(exitOK, "checkpoint", "reset", place, "b", "start")
		s.run(exitOK, "checkpoint", "reset", place, "a", "7")
		s.run(exitOK, "checkpoint", "reset", place, "a", "8")
		want := `{"epoch":2,"key":"a","offset":"8"}` + "\n" + `{"epoch":1,"key":"b","offset":"@earliest"}` + "\n"
		if out, _ := s.run(exitOK, "checkpoint", "list", place); out != want {
			t.Errorf("%s: lists %q, want %q", place, out, want)
		}
	}
}

func TestDeadLettersAreSentAgainOnce(t *testing.T) {
	s := newShell(t)
	db, err := bolt.Open(filepath.Join(s.dir, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(t.Context(), db.Stream("dead"), codec.JSON[consumer.DeadLetter]())
	if err != nil {
		t.Fatal(err)
	}
	for i, who := range []string{"billing", "mail", "billing"} {
		letter := consumer.DeadLetter{
			Value: fmt.Appendf(nil, `{"id":%d}`, i), Headers: backend.Headers{{Name: "h", Value: []byte("v")}}, Offset: "7", Consumer: who,
			Attempts: 3, Cause: "declined\nwith a stack", Time: time.Unix(1, 0),
		}
		if err := p.Send(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	dead, orders := s.url("a.db", "dead"), s.url("a.db", "orders") // one file, as a service has them
	out, _ := s.run(exitOK, "dlq", "list", dead)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "declined…") || strings.Contains(out, "stack") {
		t.Errorf("list: %q", out)
	}
	letter := strings.Fields(lines[2])[0]
	if out, _ = s.run(exitOK, "dlq", "show", dead, letter); !strings.Contains(out, `"id": 1`) || !strings.Contains(out, "consumer: mail") {
		t.Errorf("show: %q", out)
	}
	place := "sqlite:" + filepath.Join(s.dir, "places.db")
	for range 2 {
		s.run(exitOK, "dlq", "redrive", dead, orders, "--checkpoint", place, "--consumer", "billing")
	}
	if out, _ := s.run(exitOK, "tail", orders, "--from", "start", "--until", "now", "-o", "raw"); out != "{\"id\":0}\n{\"id\":2}\n" {
		t.Errorf("sent again: %q", out)
	}
	if out, _ := s.run(exitOK, "checkpoint", "show", place, "redrive "+dead+" to "+orders+" of billing"); !strings.Contains(out, `"epoch":2`) {
		t.Errorf("place: %s", out)
	}
	s.run(exitOK, "dlq", "redrive", dead, orders, "--checkpoint", place, "--consumer", "mail")
	if out, _ := s.run(exitOK, "tail", orders, "--from", "start", "--until", "now", "-o", "raw"); out != "{\"id\":0}\n{\"id\":2}\n{\"id\":1}\n" {
		t.Errorf("the letter of another consumer was left out: %q", out)
	}
}

func TestStreamsAreManaged(t *testing.T) {
	s := newShell(t)
	u := s.url("a.db", "n")
	s.run(exitOK, "create", u)
	s.run(exitOK, "create", u)
	s.in = numbers(0, 10)
	s.run(exitOK, "produce", u)
	out, _ := s.run(exitOK, "tail", u, "--from=-3", "--until", "+1", "-o", "json")
	var l line
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	s.run(exitOK, "trim", u, string(l.Offset))
	s.run(exitOK, "seal", u)
	if out, _ := s.run(exitOK, "tail", u, "--from", "start", "-o", "raw"); out != numbers(7, 10) { // a sealed stream ends tail
		t.Errorf("left after trim: %q", out)
	}
	if _, errs := s.run(exitFailed, "produce", u); !strings.Contains(errs, "stream is closed") {
		t.Errorf("produce into a sealed stream said %q", errs)
	}
	s.in = "no\n"
	if _, errs := s.run(exitFailed, "rm", u); !strings.Contains(errs, "nothing was deleted") {
		t.Errorf("rm said %q", errs)
	}
	s.run(exitOK, "rm", "--yes", u)
	if _, errs := s.run(exitFailed, "tail", u, "--from", "start", "--until", "now"); !strings.Contains(errs, "there is none") {
		t.Errorf("tail of a deleted stream said %q", errs)
	}
}

func TestWrongArgumentsAreToldAndExitWith2(t *testing.T) {
	s := newShell(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":       {[]string{"tial"}, "did you mean"},
		"unknown scheme":        {[]string{"tail", "kafka://x/y"}, "must begin with bolt:"},
		"no stream":             {[]string{"tail", "bolt:a.db"}, "add ?stream=NAME"},
		"no file":               {[]string{"tail", "bolt:?stream=x"}, "names no file"},
		"end that is none":      {[]string{"tail", s.url("a.db", "x"), "--until", "sometime"}, "want now, +N"},
		"store that is none":    {[]string{"checkpoint", "show", "redis:x", "k"}, "must begin with file:"},
		"records too small":     {[]string{"bench", "mem:", "--size", "8"}, "at least 24"},
		"password in the URL":   {[]string{"tail", "kafka://me:secret@x/y"}, "kafka://me@x/y"},
		"environment not given": {[]string{"produce", "zerobus://a.b.c"}, "ZEROBUS_ENDPOINT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ZEROBUS_ENDPOINT", "")
			_, errs := s.run(exitUsage, c.args...)
			if !strings.Contains(errs, c.want) || strings.Contains(errs, "secret") {
				t.Errorf("said %q", errs)
			}
		})
	}
}

func TestCommandsThatReadMakeNoFile(t *testing.T) {
	s := newShell(t)
	u, store := s.url("typo.db", "n"), "sqlite:"+filepath.Join(s.dir, "typo.places")
	for _, args := range [][]string{
		{"tail", u}, {"head", u}, {"trim", u, "1"}, {"seal", u}, {"rm", "--yes", u}, {"dlq", "list", u}, {"copy", u, "mem:"},
		{"checkpoint", "list", store}, {"checkpoint", "show", store, "k"},
	} {
		if _, errs := s.run(exitFailed, args...); !strings.Contains(errs, "there is no file") {
			t.Errorf("%v said %q", args, errs)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("made %v, %v", left, err)
	}
}

func TestShellsCompleteCommandsAndFlags(t *testing.T) {
	for line, want := range map[string]string{"headrace ta": "tail", "headrace tail --fr": "--from"} {
		t.Setenv("COMP_LINE", line)
		if out, _ := newShell(t).run(exitOK); !strings.Contains(out, want) {
			t.Errorf("%q is completed by %q", line, out)
		}
	}
}

func TestBenchChecksWhatItReads(t *testing.T) {
	s := newShell(t)
	chart := filepath.Join(s.dir, "chart.svg")
	out, _ := s.run(exitOK, "bench", s.url("a.db", "n"), "--records", "5000", "--json", "--chart", chart)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Records != 5000 || r.Ack.Max == 0 || r.Delivery.P50 == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	out, _ = s.run(exitOK, "bench", "mem:", "--records", "2000", "--rate", "100000")
	if !strings.Contains(out, "every record read once, in order") {
		t.Errorf("said %q", out)
	}
}

// swapped exchanges two records.
type swapped struct{ backend.Stream }

func (s swapped) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := s.Stream.OpenReader(ctx, from)
	return swappedReader{r}, err
}

type swappedReader struct{ backend.Reader }

func (r swappedReader) Read(ctx context.Context) (backend.Batch, error) {
	b, err := r.Reader.Read(ctx)
	if len(b.Records) > 1 {
		recs := append([]backend.Record(nil), b.Records...)
		recs[0].Value, recs[1].Value = recs[1].Value, recs[0].Value
		b.Records = recs
	}
	return b, err
}

func TestBenchEndsWithoutARecord(t *testing.T) {
	if out, _ := newShell(t).run(exitOK, "bench", "mem:", "--duration", "1ns"); !strings.HasPrefix(out, "0 records") {
		t.Errorf("said %q", out)
	}
}

func TestBenchFindsRecordsOutOfOrder(t *testing.T) {
	target, err := openTarget(t.Context(), "mem:")
	if err != nil {
		t.Fatal(err)
	}
	stream := swapped{target.sink.(backend.Stream)}
	target.source = stream
	b := newBench(&benchCmd{Records: 1000, Size: 100})
	if err := b.run(t.Context(), target); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("%v", err)
	}
}

func TestTheChartIsWellFormed(t *testing.T) {
	c := newChart()
	for i := range 1000 {
		c.read(time.Duration(i)*time.Second, i)
		c.acked(time.Duration(i)*time.Second, time.Duration(i)*time.Millisecond)
	}
	if len(c.buckets) > mostSteps {
		t.Errorf("%d steps", len(c.buckets))
	}
	sum := 0
	for _, b := range c.buckets {
		sum += b.read
	}
	if sum != 999*1000/2 {
		t.Errorf("%d records are left of %d", sum, 999*1000/2)
	}
	d := xml.NewDecoder(bytes.NewReader(c.svg("<a & b>")))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTailOfAStoreThatCannotCountBeginsAtTheStart(t *testing.T) {
	s := newShell(t)
	server, err := startDurableStreams(&serveCmd{DurableStreams: "127.0.0.1:0", LongPoll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown(t.Context())
	u := "ds+" + server.Address() + "n"
	s.run(exitOK, "create", u)
	s.in = numbers(0, 20)
	s.run(exitOK, "produce", u)
	if out, _ := s.run(exitOK, "tail", u, "--until", "now", "-o", "raw"); out != numbers(0, 20) {
		t.Errorf("got %q", out)
	}
	if out, _ := s.run(exitOK, "head", u); !strings.Contains(out, "application/octet-stream") {
		t.Errorf("head: %q", out)
	}
}

func TestLagTellsThatAKeyHasNoCheckpoint(t *testing.T) {
	s := newShell(t)
	s.in = numbers(0, 5)
	s.run(exitOK, "produce", s.url("a.db", "n"))
	places := "file:" + filepath.Join(s.dir, "places")
	s.run(exitOK, "checkpoint", "reset", places, "n/billing", "start")
	out, errs := s.run(exitOK, "lag", s.url("a.db", "n"), places, "n/biling")
	if !strings.HasPrefix(out, "5 records") || !strings.Contains(errs, "no checkpoint n/biling") {
		t.Errorf("lag printed %q and said %q", out, errs)
	}
}
