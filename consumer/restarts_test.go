package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

// A mortal is one life of a process: when it is killed, nothing of it reaches the store any more.
type mortal struct {
	checkpoint.Store
	mu     sync.Mutex
	killed bool
	plain  bool // stores the place alone
}

var errKilled = errors.New("the process was killed")

func (m *mortal) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.killed {
		return errKilled
	}
	if m.plain {
		cp.Ahead = ""
	}
	return m.Store.Save(ctx, key, cp)
}

// A ledger is what handlers did, over all lives. Record v has the key v % keys, and one record in a hundred keeps failing.
type ledger struct {
	mu    sync.Mutex
	keys  int
	times []int       // how often each record was done
	last  map[int]int // the highest record of each key that was done
	busy  map[int]bool
	again int // records that were done before
	dead  map[string]bool
	wrong []string
}

func hopeless(v int) bool { return v%100 == 37 }

// work is the handler of one life. It calls kill at a random moment, when left attempts have been made.
func (l *ledger) work(life *mortal, left int, kill func()) consumer.Handler[int] {
	return func(_ context.Context, m consumer.Message[int]) error {
		life.mu.Lock()
		defer life.mu.Unlock()
		if life.killed {
			return errKilled
		}
		if left--; left == 0 {
			life.killed = true
			kill()
			return errKilled
		}
		if hopeless(m.Value) {
			return errBroken
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		k := m.Value % l.keys
		if last, ok := l.last[k]; ok && l.times[m.Value] == 0 && m.Value < last {
			l.wrong = append(l.wrong, fmt.Sprintf("key %d: %d for the first time behind %d", k, m.Value, last))
		}
		if l.times[m.Value]++; l.times[m.Value] > 1 {
			l.again++
		}
		l.last[k] = max(l.last[k], m.Value)
		return nil
	}
}

// A mailman is what one life sends its dead letters to.
type mailman struct {
	*ledger
	life *mortal
}

func (l mailman) Send(_ context.Context, letters ...consumer.DeadLetter) error {
	l.life.mu.Lock()
	defer l.life.mu.Unlock()
	if l.life.killed {
		return errKilled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range letters {
		l.dead[string(d.Value)] = true
	}
	return nil
}

// Middleware around the handler: no two records of a key at once.
func (l *ledger) alone(h consumer.Handler[int]) consumer.Handler[int] {
	set := func(k int, busy bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if busy && l.busy[k] {
			l.wrong = append(l.wrong, fmt.Sprintf("two records of key %d at once", k))
		}
		l.busy[k] = busy
	}
	return func(ctx context.Context, m consumer.Message[int]) error {
		set(m.Value%l.keys, true)
		defer set(m.Value%l.keys, false)
		return h(ctx, m)
	}
}

// restarts runs Process over src with kills at random moments, and returns how many records ran again.
func restarts(t *testing.T, src backend.Source, n, lives int, plain bool) int {
	t.Helper()
	l := &ledger{keys: 10_000, times: make([]int, n), last: map[int]int{}, busy: map[int]bool{}, dead: map[string]bool{}}
	store := checkpoint.NewMemory()
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	for life := 1; ; life++ {
		m := &mortal{Store: store, plain: plain}
		left := n/(lives+1)/2 + rng.IntN(n/(lives+1))
		if life > lives {
			left = 10 * n
		}
		c := newConsumer(t, src, consumer.StopAtTail(), consumer.Checkpoint(m, key), consumer.CheckpointEvery(500, 0),
			consumer.DeadLetters(mailman{l, m}), consumer.DrainTimeout(time.Minute))
		ctx, kill := context.WithCancel(t.Context())
		err := c.Process(ctx, l.work(m, left, kill), consumer.Concurrency(64), c.KeyBy(func(v int) string { return strconv.Itoa(v % l.keys) }),
			consumer.Retries(1), consumer.RetryBackoff(0, 0), consumer.Use(l.alone))
		kill()
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	for i, text := range l.wrong {
		if t.Error(text); i == 10 {
			break
		}
	}
	for v, times := range l.times {
		if hopeless(v) != l.dead[strconv.Itoa(v)] || hopeless(v) != (times == 0) {
			t.Fatalf("record %d: done %d times, dead letter %t", v, times, l.dead[strconv.Itoa(v)])
		}
	}
	return l.again
}

// Twenty kills at random moments with 64 workers and 10,000 keys: nothing is skipped, the order of a key is kept, and the dead
// letters are those of the records that keep failing. HEADRACE_LONG=1 runs a million records instead of 50,000.
func TestProcessOverKillsSkipsNothing(t *testing.T) {
	n := 50_000
	if os.Getenv("HEADRACE_LONG") != "" {
		n = 1_000_000
	}
	const kills = 20
	src := count(t, n)
	with := restarts(t, src, n, kills, false)
	without := restarts(t, src, n, kills, true)
	t.Logf("%d records, %d kills: %d records ran again at each kill, and %d where the place alone is stored", n, kills, with/kills, without/kills)
}
