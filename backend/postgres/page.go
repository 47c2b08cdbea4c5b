package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
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
	// A slice that grows is copied several times. A reader at the tail expects nothing, and gets few records.
	w := &scanner{page: &page{recs: records.Slice(expected)}}
	for rows.Next() {
		switch raw := rows.RawValues(); {
		case raw[0] == nil: // no turn
			err = w.state(rows)
		case w.binary:
			err = w.raw(raw)
		default:
			err = w.text(rows)
		}
		// The row itself is damaged, and another connection would get the same row. So the error is not transient.
		if err != nil {
			return nil, err
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

// A scanner makes a page of the rows of readSQL. The columns of all rows are read into the same fields: variables of
// a function would be allocated for each row.
type scanner struct {
	page            *page
	binary          bool // the columns of records are in the binary format; set by state
	place           position
	at              int64
	values, headers arena
	offsets         strings.Builder
}

// state scans the one row without a turn. The row comes in front of the records.
func (w *scanner) state(rows pgx.Rows) error {
	var b []byte
	if err := rows.Scan(nil, nil, nil, &b, nil, nil); err != nil {
		return err
	}
	// The numbers have no names here. If readSQL and this function differ, a wrong number would look like a place.
	var v [6]int64
	if n, err := binary.Decode(b, binary.BigEndian, &v); err != nil || n != len(b) {
		return fmt.Errorf("the state of the stream has %d bytes, want 6 numbers", len(b))
	}
	w.page.found = true
	w.binary = binaryRow(rows.FieldDescriptions())
	w.page.state = state{id: v[0], sealed: v[1] != 0, pending: v[2] != 0, trim: position{v[3], v[4], int32(v[5])}}
	return nil
}

// binaryRow reports whether all columns are in the binary format. Without prepared statements, pgx asks for text.
func binaryRow(columns []pgconn.FieldDescription) bool {
	for i := range columns {
		if columns[i].Format != pgx.BinaryFormatCode {
			return false
		}
	}
	return true
}

// raw reads the columns of a record by itself. rows.Scan does the same, and looks for the conversion of each column
// again in each row: with Scan, the client would need twice the processor time for a small record.
func (w *scanner) raw(v [][]byte) error {
	// The types of the columns are fixed by readSQL. If we read a shorter column without this check, a table that
	// somebody has altered would end the process.
	if len(v) != 6 || len(v[0]) != 8 || len(v[1]) != 8 || len(v[2]) != 4 || v[3] == nil || len(v[5]) != 8 {
		return errors.New("the columns of headrace_records have other types than this package has given them")
	}
	w.place = position{int64(binary.BigEndian.Uint64(v[0])), int64(binary.BigEndian.Uint64(v[1])), int32(binary.BigEndian.Uint32(v[2]))}
	w.at = int64(binary.BigEndian.Uint64(v[5]))
	_ = w.values.ScanBytes(v[3]) // ScanBytes always returns nil
	_ = w.headers.ScanBytes(v[4])
	return w.record()
}

// text reads the columns of a record in whatever format the row has.
// pgx asks for text if the pool prepares no statements, for example behind a pooler.
func (w *scanner) text(rows pgx.Rows) error {
	if err := rows.Scan(&w.place.turn, &w.place.batch, &w.place.no, &w.values, &w.headers, &w.at); err != nil {
		return err
	}
	return w.record()
}

// record appends the record in the fields of w to the page.
func (w *scanner) record() error {
	// The values of the headers stay parts of the arena, as the value of the record does.
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
	if w.offsets.Cap()-w.offsets.Len() < longest {
		w.offsets = strings.Builder{}
		w.offsets.Grow(chunk)
	}
	from := w.offsets.Len()
	var b [longest]byte
	w.offsets.Write(p.append(b[:0]))
	return backend.Offset(w.offsets.String()[from:])
}

// An arena copies the values of a column into shared memory. The shared memory saves allocations, but a program with
// one kept value keeps the memory of its neighbours too.
type arena struct {
	free []byte
	last []byte // nil for NULL
}

// arenaBytes is a compromise: a larger arena saves few allocations more, and one kept value keeps more memory.
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
