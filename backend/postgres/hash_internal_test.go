package postgres

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// The time of a record and the length of the record behind it have the same size.
func TestHashKeepsATimeApartFromTheRecordBehindIt(t *testing.T) {
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	inner := append(number(1), 'v')
	timed := []backend.Record{{Value: []byte("first"), Time: time.Unix(0, int64(len(inner)))}, {Value: []byte("v")}}
	plain := []backend.Record{{Value: []byte("first")}, {Value: inner}}
	if bytes.Equal(hashOf(timed), hashOf(plain)) {
		t.Error("two different batches have one hash, so the second would pass for a resend of the first")
	}
}
