package zerobustest_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const soaked = "main.soak.numbers"

// TestSoak sends numbers in order through faults and rotations. Every number that is acknowledged must be in the table
// then, each stream must hold consecutive numbers, and what is there twice must be of a batch that was sent again.
//
// HEADRACE_SOAK_RECORDS=20000000 makes it long, with a rotation every 2 s.
func TestSoak(t *testing.T) {
	records, streams, life, pause := 200_000, int64(15), 150*time.Millisecond, 15*time.Millisecond
	if v := os.Getenv("HEADRACE_SOAK_RECORDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("HEADRACE_SOAK_RECORDS: %v", err)
		}
		records, streams, life, pause = n, 100, 2*time.Second, 200*time.Millisecond
	}
	book := newLedger()
	srv := zerobustest.New(t, zerobustest.Table(soaked), zerobustest.DiscardRows(), zerobustest.Tap(book.stored),
		zerobustest.Lifetime(life, life/4, zerobustest.EOF()))
	client := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "id", ClientSecret: "secret"})
	numbers := codec.Func("application/json",
		func(dst []byte, n int) ([]byte, error) {
			return append(strconv.AppendInt(append(dst, `{"n":`...), int64(n), 10), '}'), nil
		},
		func([]byte) (int, error) { return 0, io.EOF })
	p, err := producer.New(t.Context(), client.Table(soaked), numbers, producer.Linger(time.Millisecond),
		producer.Observe(producer.Hooks{BatchAcked: book.acked, BatchResent: book.resent, BatchFailed: book.failed}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	trouble.Go(func() { makeTrouble(ctx, srv, pause) })

	start := time.Now()
	n := 0
	for ; n < records || n%1000 != 0 || srv.Stats().Streams < streams; n++ { // faster than trouble comes, it goes on until there was enough
		if _, err := p.Enqueue(t.Context(), n); err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
	}
	cancel()
	trouble.Wait()
	srv.Heal()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	elapsed := time.Since(start)
	book.settle(t, n)
	s := srv.Stats()
	t.Logf("%d records in %v (%.0f/s): %d streams, %d connections, %d requests, %d duplicates in %d batches sent again",
		n, elapsed.Round(time.Millisecond), float64(n)/elapsed.Seconds(), s.Streams, s.Connections, s.Requests, book.twice, len(book.again))
}

// makeTrouble does one thing at random after another, each after about pause.
func makeTrouble(ctx context.Context, srv *zerobustest.Server, pause time.Duration) {
	transient := []codes.Code{codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.AlreadyExists, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss}
	stages := []zerobustest.Stage{zerobustest.Opening, zerobustest.Creating, zerobustest.Receiving, zerobustest.Stored}
	at := func(s zerobustest.Stage, a zerobustest.Action) {
		srv.Inject(zerobustest.Fault{Stage: s, Skip: rand.IntN(3), Do: a})
	}
	things := []func(){
		func() { at(stages[rand.IntN(4)], zerobustest.Fail(transient[rand.IntN(len(transient))], "trouble")) },
		func() { at(stages[rand.IntN(4)], zerobustest.Drop()) },
		func() { at(stages[rand.IntN(4)], zerobustest.EOF()) },
		func() { at(stages[rand.IntN(4)], zerobustest.Delay(rand.N(pause))) },
		func() { at(zerobustest.Stored, zerobustest.Silence()) },
		func() { at(zerobustest.Stored, zerobustest.AckWithoutOffset()) },
		func() { at(zerobustest.Stored, zerobustest.AckAhead(1<<40)) },
		func() { at(zerobustest.Stored, zerobustest.AckAhead(-1)) },
		func() { at(zerobustest.Stored, zerobustest.Reply(nil)) },
		func() { at(zerobustest.Stored, zerobustest.CloseSignal(rand.N(pause)-1)) },
		func() { at(zerobustest.Creating, zerobustest.NoStreamID()) },
		func() { at(zerobustest.Closing, zerobustest.Fail(codes.Unavailable, "trouble")) },
		func() { srv.End("", zerobustest.Fail(codes.Unavailable, "trouble")) },
		func() { srv.Signal("", rand.N(2*pause)) },
		func() { srv.DropConnections() },
		func() { srv.RevokeTokens() },
		func() { srv.InjectToken(zerobustest.TokenFault{Status: 503}) },
		func() { srv.InjectToken(zerobustest.TokenFault{Status: 429, RetryAfter: "0"}) },
		func() { srv.InjectToken(zerobustest.TokenFault{Drop: true}) },
	}
	acks := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)):
			// Without progress in between, trouble would pile up until the producer rightly gives up.
			now := srv.Stats().Acks
			if now == acks {
				continue
			}
			acks = now
			things[rand.IntN(len(things))]()
		}
	}
}

// A ledger compares what the producer was told with what the table holds.
type ledger struct {
	mu      sync.Mutex
	there   []bool
	doubled []int
	last    map[int]int // by stream
	faults  []string

	confirmed int            // records acknowledged, from 0 on
	start     map[uint64]int // of each batch acknowledged
	size      map[uint64]int
	again     map[uint64]bool
	twice     int
}

func newLedger() *ledger {
	return &ledger{last: map[int]int{}, start: map[uint64]int{}, size: map[uint64]int{}, again: map[uint64]bool{}}
}

func (l *ledger) fault(format string, args ...any) {
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) stored(_ string, rows []zerobustest.Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rows {
		n, err := strconv.Atoi(string(r.Value[len(`{"n":`) : len(r.Value)-1]))
		if err != nil || n < 0 {
			l.fault("row %q", r.Value)
			continue
		}
		if before, ok := l.last[r.Stream]; ok && n != before+1 {
			l.fault("stream %d holds %d after %d", r.Stream, n, before)
		}
		l.last[r.Stream] = n
		for len(l.there) <= n {
			l.there = append(l.there, false)
		}
		if l.there[n] {
			l.doubled = append(l.doubled, n)
		}
		l.there[n] = true
	}
}

func (l *ledger) acked(ev producer.BatchEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start[ev.Seq], l.size[ev.Seq] = l.confirmed, ev.Records
	for range ev.Records { // batches are acknowledged in order, and hold the numbers in order
		if l.confirmed >= len(l.there) || !l.there[l.confirmed] {
			l.fault("%d is acknowledged and not in the table", l.confirmed)
		}
		l.confirmed++
	}
}

func (l *ledger) resent(ev producer.BatchEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again[ev.Seq] = true
}

func (l *ledger) failed(ev producer.BatchEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault("batch %d failed: %v", ev.Seq, ev.Err)
}

func (l *ledger) settle(t *testing.T, n int) {
	t.Helper()
	l.close(n)
	for _, f := range l.faults {
		t.Error(f)
	}
}

// close looks for what shows only when everything has come: n records in all.
func (l *ledger) close(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.confirmed != n || len(l.there) != n {
		l.fault("%d records are acknowledged and %d in the table, of %d", l.confirmed, len(l.there), n)
	}
	replayed := make([]bool, len(l.there))
	for seq := range l.again {
		for i := range l.size[seq] {
			replayed[l.start[seq]+i] = true
		}
	}
	l.twice = len(l.doubled)
	for _, n := range l.doubled {
		if !replayed[n] {
			l.fault("%d is there twice and was not sent again", n)
		}
	}
}
