package zerobus

import (
	"bytes"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Each event ends two streams whose rows are stored and not acknowledged. The producer cannot know that they are stored, so it
// must send them again: no row may be missing, and the order of the first copies is that of the rows.
func TestLostStreamsLoseNoRow(t *testing.T) {
	for event, what := range map[string]string{
		"close": "the connection ends", "reset": "the connection is reset", "kill": "the server is stopped by force",
		"end": "the stream ends with OK",
	} {
		for _, w := range ways {
			t.Run(what+"/"+string(w), func(t *testing.T) {
				lost := plan{After: 3, Event: event, Silent: true}
				x := newTable(t, plan{Event: event}, lost, lost) // the first opening fails too
				rows := numbered(500)
				produce(t, x.sink(t, w), codec.JSON[row](), rows, producer.BatchRecords(50))
				want := encoded(t, codec.JSON[row](), rows)
				got := x.rows(t)
				if len(got) <= len(want) {
					t.Errorf("%d rows, want more than %d, because stored rows were sent again", len(got), len(want))
				}
				same(t, firstCopies(got), want)
				if n := len(x.streams(t)); n != 4 {
					t.Errorf("%d streams, want 4", n)
				}
			})
		}
	}
}

// firstCopies leaves out each row that was there before.
func firstCopies(rows [][]byte) (first [][]byte) {
	seen := map[string]bool{}
	for _, r := range rows {
		if !seen[string(r)] {
			seen[string(r)] = true
			first = append(first, bytes.Clone(r))
		}
	}
	return first
}
