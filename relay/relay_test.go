package relay_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A target is a new stream each time.
type target interface {
	backend.Resumer
	backend.Source
}

// targets are the stores that a relay can write to, with how many fault points to leave out between two that are tried: those of slow
// stores are not all tried.
var targets = map[string]struct {
	make   func(t *testing.T) func() target
	stride int
}{
	"durablestreams": {durableStreams, 1},
	"s2":             {inS2, 1},
	"postgres":       {inPostgres, 9},
	"memory":         {inMemory, 1},
	"bolt":           {inBolt, 3},
}

func durableStreams(t *testing.T) func() target {
	make, _ := durableServer(t)
	return make
}

func durableServer(t *testing.T) (func() target, *server.Server) {
	srv, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := srv.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c, err := durablestreams.New(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return func() target {
		s := c.Stream(rand.Text())
		if _, err := s.Create(context.Background(), "application/json"); err != nil {
			t.Fatal(err)
		}
		return s
	}, srv
}

func inS2(t *testing.T) func() target {
	make, _ := s2Server(t)
	return make
}

func s2Server(t *testing.T) (func() target, *s2test.Server) {
	srv := s2test.New(t, s2test.Basin("relay-tests", true))
	basin := srv.Client().Basin("relay-tests")
	return func() target { return basin.Stream(rand.Text()) }, srv // the first append makes it
}

func inMemory(*testing.T) func() target { return func() target { return memory.New() } }

func inBolt(t *testing.T) func() target {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "streams"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() target { return db.Stream(rand.Text()) }
}

func inPostgres(t *testing.T) func() target {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	schema := "t" + strings.ToLower(rand.Text())
	pool, err := pgxpool.New(t.Context(), dsn+" search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	db, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return func() target { return db.Stream(rand.Text()) }
}

var format = backend.Format{ContentType: "application/json"}

// fill makes a source whose records came in batches of several sizes.
func fill(t *testing.T, n int) *memory.Stream {
	s := memory.New()
	session, err := s.NewAppender(format).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i, seq := 0, uint64(0); i < n; seq++ {
		var recs []backend.Record
		for range min(int(seq)%5+1, n-i) {
			recs = append(recs, backend.Record{Value: fmt.Append(nil, i)})
			i++
		}
		if err := session.Send(t.Context(), seq, recs); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func read(t *testing.T, s backend.Source) (got []string) {
	t.Helper()
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			got = append(got, string(r.Value))
		}
		if b.CaughtUp {
			return got
		}
	}
}

func wantAll(t *testing.T, to backend.Source, n int) {
	t.Helper()
	got := read(t, to)
	for i, v := range got {
		if v != fmt.Sprint(i) {
			t.Fatalf("record %d is %s, in %v", i, v, got)
		}
	}
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
}

// run is one process.
func run(ctx context.Context, p *process, from backend.Source, to backend.Resumer, store checkpoint.Store, opts ...relay.Option) error {
	ctx, p.kill = context.WithCancel(ctx)
	defer p.kill()
	opts = append([]relay.Option{relay.StopAtTail(), relay.Format(format), relay.Backoff(time.Millisecond, 10*time.Millisecond)}, opts...)
	return relay.Run(ctx, itsSource{from, p}, itsTarget{to, p}, itsStore{store, p}, "copy", opts...)
}

const records = 40

func eachTarget(t *testing.T, f func(t *testing.T, make func() target, stride int)) {
	for name, target := range targets {
		t.Run(name, func(t *testing.T) { f(t, target.make(t), target.stride) })
	}
}

// points counts the fault points of a run in which nothing happens.
func points(t *testing.T, from backend.Source, to target) int {
	p := newProcess(-1, false)
	if err := run(t.Context(), p, from, to, checkpoint.NewMemory()); err != nil {
		t.Fatal(err)
	}
	wantAll(t, to, records)
	return p.points()
}

func TestKilledAtEveryPointEachRecordIsThereOnce(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, stride int) {
		from := fill(t, records)
		for at := 0; at < points(t, from, make()); at += stride {
			to, store := make(), checkpoint.NewMemory()
			if err := run(t.Context(), newProcess(at, false), from, to, store); err == nil {
				t.Fatalf("killed at point %d, and it ended well", at)
			}
			if err := run(t.Context(), newProcess(-1, false), from, to, store); err != nil {
				t.Fatalf("after a kill at point %d: %v", at, err)
			}
			wantAll(t, to, records)
		}
	})
}

func TestKilledAgainAndAgainEachRecordIsThereOnce(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, stride int) {
		from := fill(t, records)
		seed := mathrand.Uint64()
		random := mathrand.New(mathrand.NewPCG(seed, 0))
		for range 40 / stride {
			to, store := make(), checkpoint.NewMemory()
			kills := 0
			for run(t.Context(), newProcess(random.IntN(60), false), from, to, store) != nil {
				if kills++; kills == 1000 {
					t.Fatalf("seed %d: no progress in %d runs", seed, kills)
				}
			}
			wantAll(t, to, records)
		}
	})
}

func TestLostCallsAndRepliesLoseAndRepeatNothing(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, stride int) {
		from := fill(t, records)
		seed := mathrand.Uint64()
		random := mathrand.New(mathrand.NewPCG(seed, 0))
		for range 20/stride + 1 {
			to, p := make(), newProcess(-1, false)
			p.loses = func() bool { return random.IntN(6) == 0 }
			if err := run(t.Context(), p, from, to, checkpoint.NewMemory()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			wantAll(t, to, records)
		}
	})
}

// An old relay freezes anywhere, a new one does all the work, and the old one thaws.
func TestRelayThatWasReplacedStoresNothingMore(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, stride int) {
		from := fill(t, records)
		for at := 0; at < points(t, from, make()); at += stride {
			to, store := make(), checkpoint.NewMemory()
			old := newProcess(at, true)
			ended := goRun(t, old, from, to, store)
			<-old.reached
			if err := run(t.Context(), newProcess(-1, false), from, to, store); err != nil {
				t.Fatalf("beside one that froze at point %d: %v", at, err)
			}
			close(old.thaw)
			// It may have been frozen behind its last step, or before its claim: then it is the newer one, and finds all done.
			if err := <-ended; err != nil && !errors.Is(err, backend.ErrFenced) && !errors.Is(err, backend.ErrConflict) {
				t.Fatalf("the old one, frozen at point %d: %v", at, err)
			}
			wantAll(t, to, records)
		}
	})
}

func goRun(t *testing.T, p *process, from backend.Source, to backend.Resumer, store checkpoint.Store) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), p, from, to, store) }()
	return ended
}

// Two relays that start again and again beside each other fence each other, and lose and repeat nothing.
func TestTwoRelaysOfOneNameFenceEachOther(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, _ int) {
		from, to, store := fill(t, 400), make(), checkpoint.NewMemory()
		ended := []<-chan error{}
		for range 4 {
			ended = append(ended, goRun(t, newProcess(-1, false), from, to, store))
		}
		for _, e := range ended {
			if err := <-e; err != nil && !errors.Is(err, backend.ErrFenced) && !errors.Is(err, backend.ErrConflict) {
				t.Error(err)
			}
		}
		if err := run(t.Context(), newProcess(-1, false), from, to, store); err != nil {
			t.Fatal(err)
		}
		wantAll(t, to, 400)
	})
}

func TestConvertDropsRecordsTheSameWayAfterAKill(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, stride int) {
		from := fill(t, records)
		third := relay.Convert(func(r backend.Record) (backend.Record, bool) {
			return backend.Record{Value: r.Value}, len(r.Value) == 2 && r.Value[1]%3 == 0
		})
		var want []string
		for _, r := range from.Records() {
			if len(r.Value) == 2 && r.Value[1]%3 == 0 {
				want = append(want, string(r.Value))
			}
		}
		for at := range 60 {
			if at%stride != 0 {
				continue
			}
			to, store := make(), checkpoint.NewMemory()
			_ = run(t.Context(), newProcess(at, false), from, to, store, third)
			if err := run(t.Context(), newProcess(-1, false), from, to, store, third); err != nil {
				t.Fatal(err)
			}
			if got := read(t, to); !slices.Equal(got, want) {
				t.Fatalf("killed at point %d: %v, want %v", at, got, want)
			}
		}
	})
}

// choosy refuses a record in Send, and its session goes on, as package backend allows.
type choosy struct{ target }

func (c choosy) Resume(ctx context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	a, origin, err := c.target.Resume(ctx, f, from)
	return choosyAppender{a}, origin, err
}

type choosyAppender struct{ backend.Appender }

func (a choosyAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	return choosySession{s}, err
}

type choosySession struct{ backend.Session }

func (s choosySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	for i, r := range recs {
		if string(r.Value) == "13" {
			return &backend.RecordError{Index: i, Err: fmt.Errorf("13: %w", backend.ErrRejected)}
		}
	}
	return s.Session.Send(ctx, seq, recs)
}

func TestANilOptionIsRefused(t *testing.T) {
	err := relay.Run(t.Context(), memory.New(), memory.New(), checkpoint.NewMemory(), "copy", nil)
	if err == nil || !strings.Contains(err.Error(), "option is nil") {
		t.Error(err)
	}
}

func TestRefusedRecordEndsTheRelayBeforeIt(t *testing.T) {
	eachTarget(t, func(t *testing.T, make func() target, _ int) {
		from, to, store := fill(t, records), make(), checkpoint.NewMemory()
		err := run(t.Context(), newProcess(-1, false), from, choosy{to}, store)
		var refused *backend.RecordError
		if !errors.Is(err, backend.ErrRejected) || !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if got := read(t, to); slices.Contains(got, "13") || len(got) > 13 {
			t.Errorf("%v is stored", got)
		}
		drop := relay.Convert(func(r backend.Record) (backend.Record, bool) {
			return backend.Record{Value: r.Value}, string(r.Value) != "13"
		})
		if err := run(t.Context(), newProcess(-1, false), from, choosy{to}, store, drop); err != nil {
			t.Fatal(err)
		}
		if got := read(t, to); len(got) != records-1 || got[13] != "14" {
			t.Errorf("%v is stored", got)
		}
	})
}

// A name that was used for a consumer, or by a program of another version, is not read as a beginning.
func TestCheckpointOfSomethingElseIsRefused(t *testing.T) {
	store := checkpoint.NewMemory()
	cp, err := store.Claim(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "12"
	if err := store.Save(t.Context(), "copy", cp); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), newProcess(-1, false), fill(t, 3), durableStreams(t)(), store); !errors.Is(err, backend.ErrConflict) {
		t.Error(err)
	}
}

// A relative start is a place as soon as it was read once: what is appended between two runs is not passed over.
func TestRelayFromTheTailKeepsItsStart(t *testing.T) {
	from, to, store := fill(t, 3), durableStreams(t)(), checkpoint.NewMemory()
	if err := run(t.Context(), newProcess(-1, false), from, to, store, relay.StartAt(backend.Latest)); err != nil {
		t.Fatal(err)
	}
	session, err := from.NewAppender(format).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.Send(t.Context(), 0, []backend.Record{{Value: []byte("33")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), newProcess(-1, false), from, to, store, relay.StartAt(backend.Latest)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, to); fmt.Sprint(got) != "[33]" {
		t.Errorf("%v is stored", got)
	}
}

func TestRelayWithoutAnEndIsRefused(t *testing.T) {
	m, places := memory.New(), checkpoint.NewMemory()
	for want, run := range map[string]func() error{
		"the source":           func() error { return relay.Run(t.Context(), nil, m, places, "copy") },
		"the target":           func() error { return relay.Run(t.Context(), m, nil, places, "copy") },
		"the checkpoint store": func() error { return relay.Run(t.Context(), m, m, nil, "copy") },
		"the relay's name":     func() error { return relay.Run(t.Context(), m, m, places, "") },
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}
