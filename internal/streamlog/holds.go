package streamlog

import (
	"bytes"
	"slices"

	"github.com/headrace/headrace/backend"
)

// holds reports whether recs are equal to the n stored records from first on. Trimmed records cannot be compared, and
// count as equal: they were stored once, and must not be stored a second time.
func (l *Log) holds(first uint64, n int, recs []backend.Record) (bool, error) {
	if n != len(recs) {
		return false, nil
	}
	end := first + uint64(n)
	for seq := first; seq < end; {
		got, _, err := l.store.Read(seq, ReadLimit{Below: end, Records: readRecords, Bytes: readBytes})
		if err != nil {
			return false, err
		}
		// The records were trimmed.
		if len(got) == 0 {
			return true, nil
		}
		for i := range got {
			if !same(&recs[seq-first+uint64(i)], &got[i]) {
				return false, nil
			}
		}
		seq += uint64(len(got))
	}
	return true, nil
}

// same reports whether the Store would store sent as stored.
func same(sent, stored *backend.Record) bool {
	return bytes.Equal(sent.Value, stored.Value) &&
		(sent.Time.IsZero() || sent.Time.Equal(stored.Time)) &&
		slices.EqualFunc(sent.Headers, stored.Headers, func(a, b backend.Header) bool {
			return a.Name == b.Name && bytes.Equal(a.Value, b.Value)
		})
}
