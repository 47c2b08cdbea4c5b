package s2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// An outcome is the allowed effect of a fault.
type outcome int

const (
	unharmed outcome = iota // no session is lost
	retried                 // a session is lost, and nothing is stored twice or read twice
	unsure                  // nobody knows what was stored: with Exclusive as retried, otherwise batches may be stored twice
	fatal                   // the producer or the consumer ends with a named error
)

// A blow is a fault with its required outcome.
type blow struct {
	name   string
	fault  s2test.Fault // strikes twice by default
	want   outcome
	is     error // of outcome fatal: for errors.Is
	as     any   // or for errors.As
	client []s2.Option
	reader []s2.StreamOption
	writer []producer.Option
}

var statuses = []struct {
	status int
	code   string
	clean  bool // certainly stored nothing
}{
	{429, "rate_limited", true}, {500, "storage", false}, {502, "hot_server", true},
	{503, "unavailable", false}, {503, "server_draining", true}, {504, "upstream_timeout", false},
}

func half(b []byte) []byte { return b[:len(b)/2] }

// impatient gives up an opening without an answer after the sum of both times. A busy machine may also answer other openings too
// late: then the producer or consumer opens once more.
var impatient = []s2.Option{s2.ConnectTimeout(500 * time.Millisecond), s2.Timeout(500 * time.Millisecond)}

// blowsAtOpening strike a request before the server has done anything, for reads and appends alike.
func blowsAtOpening(op s2test.Op) (blows []blow) {
	add := func(name string, want outcome, do s2test.Effect) *blow {
		blows = append(blows, blow{name: "opening: " + name, want: want, fault: s2test.Fault{Op: op, Times: 2, Do: do}})
		return &blows[len(blows)-1]
	}
	for _, s := range statuses {
		add(fmt.Sprint(s.status, " ", s.code), retried, s2test.Status(s.status, s.code))
	}
	add("503 that asks for a pause", retried, s2test.RetryAfter(503, "unavailable", 20*time.Millisecond))
	add("dropped", retried, s2test.Drop())
	add("reset", retried, s2test.Reset())
	add("stalled", retried, s2test.Stall()).client = impatient
	add("late", unharmed, s2test.Delay(20*time.Millisecond))
	add("401 authn", fatal, s2test.Status(401, "authn")).is = backend.ErrUnauthorized
	add("403 permission_denied", fatal, s2test.Status(403, "permission_denied")).is = backend.ErrUnauthorized
	add("404 stream_not_found", fatal, s2test.Status(404, "stream_not_found")).is = backend.ErrNotFound
	return blows
}

func appendBlows() []blow {
	blows := blowsAtOpening(s2test.AppendSession)
	add := func(name string, stage s2test.Stage, want outcome, do s2test.Effect) *blow {
		blows = append(blows, blow{name: name, want: want, fault: s2test.Fault{Op: s2test.AppendSession, Stage: stage, Skip: 2, Times: 2, Do: do}})
		return &blows[len(blows)-1]
	}
	for _, s := range statuses {
		want := unsure
		if s.clean {
			want = retried
		}
		add(fmt.Sprint("batch: ", s.status, " ", s.code), s2test.Received, want, s2test.Status(s.status, s.code))
	}
	add("batch: 422 invalid", s2test.Received, retried, s2test.Status(422, "invalid")) // halved, and the halves pass
	add("batch: 401 authn", s2test.Received, fatal, s2test.Status(401, "authn")).is = backend.ErrUnauthorized
	for _, at := range []struct {
		name  string
		stage s2test.Stage
	}{{"batch", s2test.Received}, {"ack", s2test.Replying}} {
		add(at.name+": dropped", at.stage, unsure, s2test.Drop())
		add(at.name+": reset", at.stage, unsure, s2test.Reset())
		add(at.name+": clean end", at.stage, unsure, s2test.End())
		add(at.name+": late", at.stage, unharmed, s2test.Delay(20*time.Millisecond))
		stalled := add(at.name+": stalled", at.stage, unsure, s2test.Stall())
		stalled.writer = []producer.Option{producer.AckTimeout(time.Second)}
		stalled.fault.Times = 1 // each strike costs a second, because Close waits for the last answers
	}
	add("ack: 500 in its place", s2test.Replying, unsure, s2test.Status(500, "storage"))
	add("ack: no frame", s2test.Replying, unsure, s2test.Frame([]byte{0, 0, 0, 0}))
	add("ack: of other records", s2test.Replying, unsure, s2test.Frame([]byte{0, 0, 5, 0, 0x12, 0x02, 0x08, 0x7f}))
	add("ack: cut in the middle", s2test.Replying, unsure, s2test.Rewrite(half))
	add("ack: cut off after 5 bytes", s2test.Replying, unsure, s2test.CutAfter(5))
	add("ack: with advice to reconnect", s2test.Replying, retried, s2test.AdviseReconnect())
	add("ack: with GOAWAY", s2test.Replying, unharmed, s2test.GoAway())
	return blows
}

// readBlows strike sessions over frames or over events. Behind a broken frame or event, the reader cannot go on.
func readBlows(op s2test.Op) []blow {
	blows := blowsAtOpening(op)
	add := func(name string, want outcome, do s2test.Effect) *blow {
		blows = append(blows, blow{name: "batch: " + name, want: want, fault: s2test.Fault{Op: op, Stage: s2test.Replying, Skip: 1, Times: 2, Do: do}})
		return &blows[len(blows)-1]
	}
	for _, s := range statuses {
		add(fmt.Sprint(s.status, " ", s.code), retried, s2test.Status(s.status, s.code))
	}
	add("401 authn", fatal, s2test.Status(401, "authn")).is = backend.ErrUnauthorized
	add("409 stream_deletion_pending", fatal, s2test.Status(409, "stream_deletion_pending")).is = backend.ErrNotFound
	add("dropped", retried, s2test.Drop())
	add("reset", retried, s2test.Reset())
	add("clean end", retried, s2test.End())
	add("late", unharmed, s2test.Delay(20*time.Millisecond))
	add("stalled", retried, s2test.Stall()).reader = []s2.StreamOption{s2.Silence(time.Second)}
	add("cut off after 1000 bytes", retried, s2test.CutAfter(1000))
	if op == s2test.EventRead {
		add("left out", fatal, s2test.Frame([]byte(": \n\n"))).is = backend.ErrOutOfRange
		add("no JSON", fatal, s2test.Frame([]byte("event: batch\ndata: {\n\n"))).as = new(*s2.ProtocolError)
		return blows
	}
	add("no frame", fatal, s2test.Frame([]byte{0, 0, 0, 0})).as = new(*s2.ProtocolError)
	add("left out", fatal, s2test.Frame([]byte{0, 0, 1, 0})).is = backend.ErrOutOfRange
	add("with advice to reconnect", retried, s2test.AdviseReconnect())
	add("with GOAWAY", unharmed, s2test.GoAway())
	return blows
}

// causes is a log handler. It keeps all errors.
type causes struct {
	mu   sync.Mutex
	seen []error
}

func (c *causes) Enabled(context.Context, slog.Level) bool { return true }
func (c *causes) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *causes) WithGroup(string) slog.Handler            { return c }

func (c *causes) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			c.add(err)
		}
		return true
	})
	return nil
}

func (c *causes) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, err)
}

// String names the kinds of all errors, each kind once.
func (c *causes) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, err := range c.seen {
		var kinds []string
		for name, kind := range map[string]error{
			"transient": backend.ErrTransient, "indeterminate": backend.ErrIndeterminate, "rejected": backend.ErrRejected,
			"unauthorized": backend.ErrUnauthorized, "not found": backend.ErrNotFound, "out of range": backend.ErrOutOfRange,
		} {
			if errors.Is(err, kind) {
				kinds = append(kinds, name)
			}
		}
		slices.Sort(kinds)
		if errors.As(err, new(*s2.ProtocolError)) {
			kinds = append(kinds, "protocol")
		}
		var e *s2.Error
		if errors.As(err, &e) {
			kinds = append(kinds, fmt.Sprint(e.Status))
		}
		if s := strings.Join(kinds, "+"); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, ", ")
}

// A table collects rows from concurrent runs.
type table struct {
	mu   sync.Mutex
	rows []string
}

func row(cells ...any) string {
	return strings.Join(strings.Split(strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%v\n", len(cells)), cells...), "\n"), "\n"), "\t")
}

func (tb *table) add(cells ...any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.rows = append(tb.rows, row(cells...))
}

func (tb *table) log(t *testing.T, title ...any) {
	t.Helper()
	slices.Sort(tb.rows)
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range append([]string{row(title...)}, tb.rows...) {
		_, _ = fmt.Fprintln(w, r)
	}
	_ = w.Flush()
	t.Logf("%d runs\n%s", len(tb.rows), b.String())
}

// inject injects the fault of b. check, called at the end, fails the test if the fault did not strike.
func (b *blow) inject(t *testing.T, srv *s2test.Server) (in *s2test.Injection, check func()) {
	t.Helper()
	f := b.fault
	if b.want == fatal {
		f.Times = 1
	}
	in = srv.Inject(f)
	return in, func() {
		t.Helper()
		if in.Hits() == 0 { // the second strike is not certain: a batch found stored after the first strike is not sent again
			t.Error("it did not strike")
		}
		in.Remove()
	}
}

// least is the required number of failures. A failure ends a session, and the second strike may hit the same session; but each
// failed opening counts.
func (b *blow) least() int {
	switch {
	case b.want == unharmed:
		return 0
	case b.want == retried && b.fault.Stage == s2test.Arrived:
		return b.fault.Times
	}
	return 1
}

// final checks the error at the end of a fatal blow.
func (b *blow) final(t *testing.T, err error) {
	t.Helper()
	if b.is != nil && !errors.Is(err, b.is) || b.as != nil && !errors.As(err, new(*s2.ProtocolError)) || err == nil {
		t.Errorf("it ends with %v, want %v", err, b.is)
	}
}

// TestConformanceUnderFaults runs producers, consumers and all rules of backendtest under each fault of s2test. No acknowledged
// record may be lost under any fault. The blows say what else may happen.
func TestConformanceUnderFaults(t *testing.T) {
	t.Parallel()
	stores := []string{"memory", "bolt"}
	t.Run("rules", rulesUnderFaults) // the longest
	t.Run("append", func(t *testing.T) {
		t.Parallel()
		var results table
		var all crowd
		for _, b := range appendBlows() {
			for _, store := range stores {
				for _, exclusive := range []bool{false, true} {
					all.run(t, fmt.Sprintf("%s/%s/exclusive=%v", b.name, store, exclusive), func(t *testing.T) {
						appendUnder(t, b, store, exclusive, &results)
					})
				}
			}
		}
		all.Wait()
		results.log(t, "fault", "over", "exclusive", "struck", "acked", "stored", "twice", "sessions", "sent again", "errors seen")
	})
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		var results table
		var all crowd
		for form, op := range map[string]s2test.Op{"frames": s2test.ReadSession, "events": s2test.EventRead} {
			for _, b := range readBlows(op) {
				for _, store := range stores {
					all.run(t, fmt.Sprintf("%s/%s/%s", b.name, store, form), func(t *testing.T) {
						readUnder(t, b, store, form, &results)
					})
				}
			}
		}
		all.Wait()
		results.log(t, "fault", "over", "as", "struck", "read", "repeated", "reopened", "errors seen")
	})
}

// A crowd runs subtests at once, more of them than there are processors, because they wait most of the time. All crowds share
// their places: with more subtests at once, a busy machine would exceed the timeouts of the subtests.
type crowd struct{ sync.WaitGroup }

var places = make(chan struct{}, 12)

func (c *crowd) run(t *testing.T, name string, f func(*testing.T)) {
	places <- struct{}{}
	c.Go(func() {
		defer func() { <-places }()
		t.Run(name, f)
	})
}

// appendUnder sends 200 records in 20 batches, as fast as possible, with a pause in the middle. No batch is sent before it is full:
// a refusal of a batch of one record would be final, and a slow machine sends such batches.
func appendUnder(t *testing.T, b blow, store string, exclusive bool, results *table) {
	const n = 200
	srv := serve(t, store, true)
	in, struck := b.inject(t, srv)
	var opts []s2.StreamOption
	if exclusive {
		opts = append(opts, s2.Exclusive())
	}
	name := streamName()
	st := dial(t, srv, b.client...).Basin(basinName).Stream(name, opts...)
	var seen causes
	p, err := producer.New(t.Context(), st, codec.String(), append(b.writer,
		// A busy machine may need many openings where a blow lets an opening take a second only, and more time for Close.
		producer.Attempts(1000), producer.DrainTimeout(2*time.Minute),
		producer.BatchRecords(10), producer.Linger(time.Hour), producer.Backoff(time.Millisecond, 20*time.Millisecond), producer.Logger(slog.New(&seen)))...)
	var receipts []producer.Receipt
	var stats producer.Stats
	if err == nil {
		for i := range n {
			r, err := p.Enqueue(t.Context(), fmt.Sprint(i))
			if err != nil {
				break // Close says why
			}
			receipts = append(receipts, r)
			if i == n/2-1 && p.Flush(t.Context()) != nil {
				break
			}
		}
		err = p.Close()
		stats = p.Stats()
	}
	if b.want == fatal {
		seen.add(err)
		b.final(t, err)
	} else if err != nil || len(receipts) != n {
		t.Fatalf("%d of %d records were taken, and in the end: %v", len(receipts), n, err)
	}
	struck()

	// Compare the stored records with the receipts.
	recs := []backend.Record{}
	plain := dial(t, srv).Basin(basinName).Stream(name)
	if b.want != fatal || len(receipts) > 0 {
		recs = stored(t, plain)
	}
	next, twice, acked := 0, 0, 0
	for i := range recs {
		switch v := string(recs[i].Value); {
		case v == fmt.Sprint(next):
			next++
		case slices.ContainsFunc(recs[:i], func(r backend.Record) bool { return string(r.Value) == v }):
			twice++
		default:
			t.Fatalf("record %d is %s where %d was next", i, v, next)
		}
	}
	for i, r := range receipts {
		off, err := r.Wait(t.Context())
		if err != nil {
			continue
		}
		acked++
		if at, err := s2.SeqNum(off); err != nil || at >= uint64(len(recs)) || string(recs[at].Value) != fmt.Sprint(i) {
			t.Errorf("record %d was acknowledged at %q, where it is not", i, off)
		}
	}
	switch {
	case b.want != fatal && (acked != n || next != n):
		t.Errorf("%d records acknowledged and %d stored, of %d", acked, next, n)
	case twice > 0 && (exclusive || b.want != unsure):
		t.Errorf("%d records are stored twice", twice)
	case b.want == unharmed && (stats.Sessions != 1 || len(seen.seen) > 0):
		t.Errorf("%d sessions, and %v, want one and no error", stats.Sessions, &seen)
	case len(seen.seen) < b.least():
		t.Errorf("%d failures were seen, want %d at least", len(seen.seen), b.least())
	}
	results.add(b.name, store, exclusive, in.Hits(), acked, next, twice, stats.Sessions, stats.Resent, &seen)
}

// readUnder reads 3000 records, in three batches or more.
func readUnder(t *testing.T, b blow, store, form string, results *table) {
	const n = 3000
	srv := serve(t, store, true)
	// With bare offsets, the reader does not ask for the time of creation, and no connection is idle at the opening. A transport
	// replaces a broken idle connection silently, and the fault would have no effect.
	opts := append([]s2.StreamOption{s2.BareOffsets()}, b.reader...)
	if form == "events" {
		opts = append(opts, s2.SSE())
	}
	st := dial(t, srv, b.client...).Basin(basinName).Stream(streamName(), opts...)
	want := fillStream(t, st, n)
	in, struck := b.inject(t, srv)
	var seen causes
	how := []consumer.Option{consumer.Backoff(time.Millisecond, 20*time.Millisecond), consumer.Observe(consumer.Hooks{
		ReaderLost: func(ev consumer.ReaderEvent) { seen.add(ev.Err) },
	})}
	// To find the tail, the consumer opens a second session, whose heartbeat may take the fault in place of the second batch. A fatal
	// fault ends the loop by itself.
	if b.want != fatal {
		how = append(how, consumer.StopAtTail())
	}
	c, err := consumer.New(st, codec.String(), how...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var end error
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			end = err
			break
		}
		got = append(got, m.Value)
	}
	if b.want == fatal {
		seen.add(end)
		b.final(t, end)
	} else if end != nil {
		t.Fatalf("it ends with %v", end)
	}
	struck()
	if len(got) > n || !slices.Equal(got, want[:len(got)]) || b.want != fatal && len(got) != n {
		t.Errorf("%d records were read, not in order or not all of %d", len(got), n)
	}
	if reopened := c.Stats().Reopened; b.want == unharmed && (reopened > 0 || len(seen.seen) > 0) || len(seen.seen) < b.least() {
		t.Errorf("reopened %d times for %d failures: %v", reopened, len(seen.seen), &seen)
	}
	distinct := map[string]bool{}
	for _, v := range got {
		distinct[v] = true
	}
	results.add(b.name, store, form, in.Hits(), len(got), len(got)-len(distinct), c.Stats().Reopened, &seen)
}

// fillStream appends n numbered records with a producer, and returns their values.
func fillStream(t testing.TB, st *s2.Stream, n int) []string {
	t.Helper()
	p, err := producer.New(t.Context(), st, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprint(i)
	}
	if err := errors.Join(p.Send(t.Context(), vs...), p.Close()); err != nil {
		t.Fatal(err)
	}
	return vs
}
