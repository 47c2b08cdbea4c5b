package zerobustest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

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
		l := newLedger()
		do(l)
		l.close(4)
		got := strings.Join(l.faults, "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("noticed %q, want %q", got, want)
		}
	}
}
