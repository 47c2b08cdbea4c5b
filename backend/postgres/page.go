package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// A page is the answer to one query of a reader: the state of the stream and the records behind a place, both of the
// same moment.
type page struct {
	found bool // the stream exists
	state
	recs  []backend.Record
	last  position // of the last record
	bytes int      // of the values
	full  bool     // there may be more records behind the last one
}

// The state of a stream, as a query of a reader returns it.
type state struct {
	id              int64
	sealed, pending bool // pending: a running transaction holds up records
	trim            position
}

// fetch reads about readBytes of the records at from and behind it, limit of them at most. fetch makes room for as many
// records as the caller expects.
func (s *Stream) fetch(ctx context.Context, from position, limit, expected int) (*page, error) {
	rows, err := s.db.pool.Query(ctx, s.db.tables.sql(readSQL), s.name, from.turn, from.batch, from.no, limit, readBytes)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer rows.Close()
	w := &scanner{page: &page{recs: make([]backend.Record, 0, expected)}}
	for rows.Next() {
		if rows.RawValues()[0] != nil {
			err = w.state(rows)
		} else {
			err = w.record(rows)
		}
		if err != nil {
			return nil, classify(ctx, err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, classify(ctx, err)
	}
	p := w.page
	// If the page is below both bounds, no bound has cut the page, and the stream had no more records to show. The
	// reader then waits for a notification, and does not ask at once again.
	p.full = len(p.recs) == limit || p.bytes >= readBytes
	return p, nil
}

// A scanner makes a page of the rows of readSQL. The columns of all rows are scanned into the same fields: variables of
// a function would be allocated for each row.
type scanner struct {
	page            *page
	place           position
	at              int64
	values, headers arena
	text            strings.Builder // of offsets
}

// state scans the one row that has an array in its first column.
func (w *scanner) state(rows pgx.Rows) error {
	var v []int64
	if err := rows.Scan(&v, nil, nil, nil, nil, nil, nil); err != nil {
		return err
	}
	if len(v) != 6 {
		return fmt.Errorf("the state of the stream has %d numbers, want 6", len(v))
	}
	w.page.found = true
	w.page.state = state{id: v[0], sealed: v[1] != 0, pending: v[2] != 0, trim: position{v[3], v[4], int32(v[5])}}
	return nil
}

func (w *scanner) record(rows pgx.Rows) error {
	if err := rows.Scan(nil, &w.place.turn, &w.place.batch, &w.place.no, &w.values, &w.headers, &w.at); err != nil {
		return err
	}
	headers, err := decodeHeaders(w.headers.last)
	if err != nil {
		return fmt.Errorf("record %s: %w", w.place, err)
	}
	p := w.page
	r := backend.Record{Value: w.values.last, Headers: headers, Time: time.Unix(0, w.at).UTC()}
	if n := len(p.recs); n > 0 && w.place == p.last.behind() {
		// Most records are directly behind another record of the same append, and the two places have the same text.
		r.Offset = p.recs[n-1].Next
	} else {
		r.Offset = w.offset(w.place)
	}
	r.Next = w.offset(w.place.behind())
	p.recs = append(p.recs, r)
	p.last = w.place
	p.bytes += len(r.Value)
	return nil
}

// offset returns an offset that shares the memory of its neighbours, as the values in an arena do.
func (w *scanner) offset(p position) backend.Offset {
	const longest, chunk = 64, 16 << 10
	// A Builder that grew would move its text. Earlier offsets would then keep the old memory, so we begin a new
	// Builder before the old Builder is full.
	if w.text.Cap()-w.text.Len() < longest {
		w.text = strings.Builder{}
		w.text.Grow(chunk)
	}
	from := w.text.Len()
	var b [longest]byte
	w.text.Write(p.append(b[:0]))
	return backend.Offset(w.text.String()[from:])
}

// An arena copies the values of a column into shared memory. The shared memory saves allocations, but a program with
// one kept value keeps the memory of its neighbours too.
type arena struct {
	free []byte
	last []byte // nil for NULL
}

const arenaBytes = 64 << 10

// ScanBytes implements [pgtype.BytesScanner].
func (a *arena) ScanBytes(v []byte) error {
	if v == nil {
		a.last = nil
		return nil
	}
	// pgx overwrites v at the next row, so the value must be copied.
	if len(v) > cap(a.free)-len(a.free) {
		a.free = make([]byte, 0, max(len(v), arenaBytes))
	}
	at := len(a.free)
	a.free = append(a.free, v...)
	// The capacity ends at the value. If a caller appends to the value, Go copies the value, and the next value in
	// the arena keeps its bytes.
	a.last = a.free[at:len(a.free):len(a.free)]
	return nil
}
