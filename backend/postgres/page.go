package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/headrace/headrace/backend"
)

// A row is a row of readSQL. If there is no record, the fields of the record are not valid. The state of the stream is
// the same in all rows, so we read it only from the first row.
type row struct {
	id              int64
	sealed, pending bool
	trim            position

	turn, batch, at pgtype.Int8
	no              pgtype.Int4
	value, headers  arena

	seen  bool // a row was scanned
	first bool // the last scanned row was the first
}

func (w *row) scan(rows pgx.Rows) error {
	w.first, w.seen = !w.seen, true
	w.value.last, w.headers.last = nil, nil
	if w.first {
		return rows.Scan(&w.id, &w.sealed, &w.trim.turn, &w.trim.batch, &w.trim.no, &w.pending,
			&w.turn, &w.batch, &w.no, &w.value, &w.headers, &w.at)
	}
	return rows.Scan(nil, nil, nil, nil, nil, nil, &w.turn, &w.batch, &w.no, &w.value, &w.headers, &w.at)
}

// An arena copies the values of a column into shared memory, which saves allocations. A program that keeps one value
// keeps the memory of the neighbours too.
type arena struct {
	free []byte
	last []byte // nil for NULL
}

const arenaBytes = 64 << 10

// ScanBytes implements [pgtype.BytesScanner].
func (a *arena) ScanBytes(v []byte) error {
	if v == nil {
		return nil
	}
	if len(v) > cap(a.free)-len(a.free) {
		a.free = make([]byte, 0, max(len(v), arenaBytes))
	}
	at := len(a.free)
	a.free = append(a.free, v...)
	a.last = a.free[at:len(a.free):len(a.free)]
	return nil
}

// A page holds the records of one query.
type page struct {
	recs   []backend.Record
	places []position
	bytes  int
}

func (p *page) add(w *row) error {
	if !w.batch.Valid || !w.no.Valid || !w.at.Valid {
		return fmt.Errorf("a record without its place in turn %d", w.turn.Int64)
	}
	place := position{w.turn.Int64, w.batch.Int64, w.no.Int32}
	headers, err := decodeHeaders(w.headers.last)
	if err != nil {
		return fmt.Errorf("record %s: %w", place, err)
	}
	value := w.value.last
	if value == nil {
		value = []byte{}
	}
	p.recs = append(p.recs, backend.Record{Value: value, Headers: headers, Time: time.Unix(0, w.at.Int64).UTC()})
	p.places = append(p.places, place)
	p.bytes += len(value)
	return nil
}

// records returns the records with their offsets. All offsets are parts of one string, and cost one allocation.
func (p *page) records() []backend.Record {
	if len(p.recs) == 0 {
		return nil
	}
	ends := make([]int, 0, 2*len(p.places))
	text := make([]byte, 0, 40*len(p.places))
	for _, place := range p.places {
		text = place.append(text)
		ends = append(ends, len(text))
		text = place.behind().append(text)
		ends = append(ends, len(text))
	}
	all, at := string(text), 0
	for i := range p.recs {
		p.recs[i].Offset, p.recs[i].Next = backend.Offset(all[at:ends[2*i]]), backend.Offset(all[ends[2*i]:ends[2*i+1]])
		at = ends[2*i+1]
	}
	return p.recs
}
