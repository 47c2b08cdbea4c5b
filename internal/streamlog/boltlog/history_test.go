package boltlog

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// A history is what some clients did to one stream, and what they were told.
type history struct {
	clock  atomic.Int64
	stream func() *streamlog.Log // the one that has the name now
	remove func() error          // nil where streams cannot be deleted

	mu  sync.Mutex
	ops []porcupine.Operation
}

// do makes one call and writes it down.
func (h *history) do(client int, c call) answer {
	op := porcupine.Operation{ClientId: client, Input: c, Call: h.clock.Add(1)}
	a := h.ask(c)
	op.Output, op.Return = a, h.clock.Add(1)
	if a.verdict == unknown {
		op.Return = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	return a
}

func (h *history) ask(c call) answer {
	switch c.kind {
	case callAppend:
		return h.append(c.value)
	case callRead:
		return h.read(c.from)
	case callTrim:
		// Latest is not tried: it is resolved when Trim is called and applied later, which is no single step.
		return answer{verdict: verdictOf(h.stream().Trim(ctx, streamlog.FormatOffset(uint64(c.from), "")))}
	case callClose:
		return answer{verdict: verdictOf(h.stream().Seal(ctx))}
	default:
		return answer{verdict: verdictOf(h.remove())}
	}
}

func (h *history) append(value string) answer {
	s, err := h.stream().NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		return answer{verdict: verdictOf(err)}
	}
	defer s.Close()
	if err := s.Send(ctx, 0, one(value)); err != nil {
		return answer{verdict: verdictOf(err)}
	}
	ack, err := s.Recv(ctx)
	if err != nil {
		return answer{verdict: verdictOf(err)}
	}
	seq, _, ok := streamlog.ParseOffset(ack.OffsetOf(0))
	if !ok {
		panic(fmt.Sprintf("offset %q", ack.OffsetOf(0)))
	}
	return answer{verdict: done, seq: int(seq)}
}

func (h *history) read(from int) answer {
	place := backend.Earliest
	if from != earliest {
		place = streamlog.FormatOffset(uint64(from), "")
	}
	r, err := h.stream().OpenReader(ctx, place)
	if err != nil {
		return answer{verdict: verdictOf(err)}
	}
	defer r.Close()
	b, err := r.Read(ctx)
	a := answer{verdict: verdictOf(err), caughtUp: b.CaughtUp}
	for i := range b.Records {
		a.values += string(b.Records[i].Value)
	}
	return a
}

const (
	historyClients = 5
	historyCalls   = 25
)

// run lets the clients make random calls at the same time.
func (h *history) run(seed uint64) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for client := range historyClients {
		wg.Go(func() {
			<-start
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			seen := 0 // the newest seq the client knows of
			for i := range historyCalls {
				c := h.next(random, seen)
				c.value = fmt.Sprintf("%02d%02d", client, i)
				if a := h.do(client, c); a.seq > 0 {
					seen = a.seq
				}
			}
		})
	}
	close(start)
	wg.Wait()
}

func (h *history) next(random *rand.Rand, seen int) call {
	place := max(seen+random.IntN(5)-3, 0)
	switch n := random.IntN(200); {
	case n < 100:
		return call{kind: callAppend}
	case n < 130:
		return call{kind: callRead, from: earliest}
	case n < 160:
		return call{kind: callRead, from: place}
	case n < 194 || n < 199 && h.remove == nil:
		return call{kind: callTrim, from: place}
	case n < 199:
		return call{kind: callDelete}
	default:
		return call{kind: callClose}
	}
}

// counts is how often each call got each verdict.
type counts map[string]int

// check judges h.
func (h *history) check(t *testing.T, seed uint64, sum counts) {
	t.Helper()
	var judged []porcupine.Operation
	for _, op := range h.ops {
		if op.Output.(answer).verdict != refused { // which says nothing about the stream and only makes the search longer
			judged = append(judged, op)
		}
		sum[fmt.Sprintf("%s: %s", op.Input.(call).kind, op.Output.(answer).verdict)]++
	}
	switch porcupine.CheckOperationsTimeout(model(), judged, searchBound) {
	case porcupine.Unknown:
		sum["history: undecided"]++
	case porcupine.Illegal:
		for _, op := range h.ops {
			t.Logf("%d…%d client %d: %+v → %+v", op.Call, op.Return, op.ClientId, op.Input, op.Output)
		}
		t.Fatalf("seed %d: no order of single steps gives this history", seed)
	}
}

// searchBound is when the search for an order is given up. It takes milliseconds, and rarely seconds: calls of unknown
// outcome make it grow exponentially.
const searchBound = 5 * time.Second

func (c counts) log(t *testing.T, histories int) {
	all := 0
	for _, n := range c {
		all += n
	}
	t.Logf("%d histories, %d calls: %v", histories, all, c)
}

// What concurrent clients see of a stream is what they would see if one call came after the other.
func TestStreamsAreLinearizable(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		const histories = 300
		sum := counts{}
		for seed := range uint64(histories) {
			log := streamlog.New("memory", streamlog.NewMemory(), backend.Limits{})
			h := &history{stream: func() *streamlog.Log { return log }}
			h.run(seed)
			h.check(t, seed, sum)
		}
		sum.log(t, histories)
	})
	t.Run("bolt", func(t *testing.T) {
		const histories = 100
		sum := counts{}
		db := open(t, tempPath(t))
		for seed := range uint64(histories) {
			h := boltHistory(&db, fmt.Sprintf("s%d", seed))
			h.run(seed)
			h.check(t, seed, sum)
		}
		sum.log(t, histories)
	})
}

func boltHistory(db **DB, name string) *history {
	return &history{
		stream: func() *streamlog.Log { return stream(*db, name) },
		remove: func() error { return (*db).Delete(ctx, name) },
	}
}

// The same holds when commits fail: a step of a failed commit has not happened, and nothing was answered from it. Where the
// outcome is unknown, opening the file again settles it.
func TestStreamsAreLinearizableOverFailedCommits(t *testing.T) {
	const histories = 100
	sum := counts{}
	dir := t.TempDir()
	for seed := range uint64(histories) {
		path := filepath.Join(dir, fmt.Sprint(seed))
		db := open(t, path)
		db.committer.CommitTx = failAtRandom(seed)
		h := boltHistory(&db, "s")
		h.run(seed)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, path)
		for i, c := range []call{{kind: callRead, from: earliest}, {kind: callAppend, value: "last"}, {kind: callRead, from: earliest}} {
			if a := h.do(historyClients, c); a.verdict == refused || a.verdict == unknown {
				t.Fatalf("seed %d: call %d after opening again: %+v", seed, i, a)
			}
		}
		h.check(t, seed, sum)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sum.log(t, histories)
}

// failAtRandom fails every third commit. In every other history one commit fails with the new state in the file, so that its
// outcome is unknown.
func failAtRandom(seed uint64) func(*bbolt.Tx) error {
	random := rand.New(rand.NewPCG(seed, historyClients))
	last := -1
	if seed%2 == 0 {
		last = random.IntN(40)
	}
	cause := errors.New("injected")
	commits := 0
	return func(tx *bbolt.Tx) error {
		commits++
		switch {
		case commits == last:
			return errors.Join(cause, tx.Commit())
		case random.IntN(3) == 0:
			return errors.Join(cause, tx.Rollback())
		}
		return tx.Commit()
	}
}
