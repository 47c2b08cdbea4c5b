package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// A ledger compares what the producer was told with what the table holds.
type ledger struct {
	number func(row []byte) (int, error)

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

func newLedger(number func(row []byte) (int, error)) *ledger {
	return &ledger{number: number, last: map[int]int{}, start: map[uint64]int{}, size: map[uint64]int{}, again: map[uint64]bool{}}
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
		n, err := l.number(r.Value)
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

func (l *ledger) report(t *testing.T, n int) {
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

// The soak is worth what its ledger notices.
func TestTheLedgerNotices(t *testing.T) {
	rows := func(stream int, numbers ...int) []zerobustest.Row {
		var out []zerobustest.Row
		for _, n := range numbers {
			out = append(out, zerobustest.Row{Value: fmt.Appendf(nil, `{"n":%d}`, n), Stream: stream})
		}
		return out
	}
	for want, do := range map[string]func(*ledger){
		"": func(l *ledger) { // 2 and 3 are sent again and are there twice
			l.stored("", rows(0, 0, 1, 2, 3))
			l.acked(producer.BatchEvent{Seq: 0, Records: 2})
			l.resent(producer.BatchEvent{Seq: 1, Records: 2})
			l.stored("", rows(1, 2, 3))
			l.acked(producer.BatchEvent{Seq: 1, Records: 2})
		},
		"2 is acknowledged and not in the table": func(l *ledger) {
			l.stored("", rows(0, 0, 1))
			l.acked(producer.BatchEvent{Seq: 0, Records: 4})
		},
		"stream 0 holds 3 after 1": func(l *ledger) { l.stored("", rows(0, 0, 1, 3, 2)) },
		"1 is there twice and was not sent again": func(l *ledger) {
			l.stored("", rows(0, 0, 1, 2, 3))
			l.stored("", rows(1, 1))
			l.acked(producer.BatchEvent{Seq: 0, Records: 4})
		},
		"3 records are acknowledged and 4 in the table, of 4": func(l *ledger) {
			l.stored("", rows(0, 0, 1, 2, 3))
			l.acked(producer.BatchEvent{Seq: 0, Records: 3})
		},
	} {
		l := newLedger(forms["JSON"].number)
		do(l)
		l.close(4)
		got := strings.Join(l.faults, "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("noticed %q, want %q", got, want)
		}
	}
}
