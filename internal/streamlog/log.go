package streamlog

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// Bounds of one batch of a reader. With so many records, the cost of the call is small compared with the cost of the
// records. And a consumer that reads ahead still holds little memory.
const (
	readRecords = 1024
	readBytes   = 1 << 20
)

// A Log makes a sink and a source from one Store, as package backend defines them.
type Log struct {
	name   string // name of the stream in errors, for example: bolt: stream "orders"
	store  Store
	limits backend.Limits
}

// New makes the Log of a Store. The limits apply to every batch. New sets their Size to [Size].
func New(name string, s Store, limits backend.Limits) *Log {
	limits.Size = Size
	return &Log{name: name, store: s, limits: limits}
}

// NewAppender returns an appender for one producer.
func (l *Log) NewAppender(f backend.Format) backend.Appender {
	return backend.Pipelined(l.name, &appender{log: l, contentType: f.ContentType})
}

// Trim drops all records in front of the place before. [backend.Latest] means all records that exist when Trim is
// called.
func (l *Log) Trim(ctx context.Context, before backend.Offset) error {
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return fmt.Errorf("%s: trim: %w", l.name, err)
	}
	st := board.State()
	seq, incarnation, ok := ParseOffset(before)
	switch {
	// The tail is taken once. Records that come during the call stay.
	case before == backend.Latest:
		seq = st.Tail
	case !ok || seq > st.Tail || incarnation != "" && incarnation != st.Incarnation:
		return fmt.Errorf("%s: trim before %q: %w", l.name, before, backend.ErrOutOfRange)
	}
	// Nothing is left to drop. The answer needs no commit, so a repeated trim costs no write to the disk.
	if seq <= st.Head {
		return nil
	}
	return l.commit(ctx, "trim", &Write{Trim: seq})
}

// Seal ends the stream for good: appends fail with ErrStreamClosed, and readers get io.EOF behind the last
// record.
func (l *Log) Seal(ctx context.Context) error {
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return fmt.Errorf("%s: seal: %w", l.name, err)
	}
	// The end is durable already, and a second seal changes nothing.
	if board.State().Closed {
		return nil
	}
	return l.commit(ctx, "seal", &Write{Close: true})
}

func (l *Log) commit(ctx context.Context, what string, w *Write) error {
	if _, err := Commit(ctx, l.store, w); err != nil {
		return fmt.Errorf("%s: %s: %w", l.name, what, err)
	}
	return nil
}

// Size measures a record for the limits of every Log. Size counts the bytes of value and headers, and not how many
// bytes a store needs for them. A time that does not fit into 64 bits of nanoseconds is refused.
func Size(value []byte, headers backend.Headers, at time.Time) (int, error) {
	if !at.IsZero() && (at.Before(minTime) || at.After(maxTime)) {
		return 0, fmt.Errorf("time %v: want a time between the years %v and %v: %w", at, minTime.Year(), maxTime.Year(), backend.ErrRejected)
	}
	return Bytes(&backend.Record{Value: value, Headers: headers}), nil
}

// Bytes returns the number of bytes of a record's value and headers.
func Bytes(r *backend.Record) int {
	n := len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

var (
	minTime = time.Unix(0, -1<<63)
	maxTime = time.Unix(0, 1<<63-1)
)

// Time returns a record's time as every Store keeps it: in nanoseconds since 1970, without a zone and without a
// monotonic clock. A record without a time gets now.
func Time(t time.Time, now int64) int64 {
	if t.IsZero() {
		return now
	}
	return t.UnixNano()
}
