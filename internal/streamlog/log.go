package streamlog

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// Read bounds of one batch. They are large enough to make the cost of a call vanish beside that of its records, and small
// enough that a consumer reading ahead holds little.
const (
	readRecords = 1024
	readBytes   = 1 << 20
)

// A Log is the machinery over one Store: a sink and a source by the contracts of backend.
type Log struct {
	name   string // of the stream in errors, with the package's: `bolt: stream "orders"`
	store  Store
	limits backend.Limits
}

// New makes the Log of a Store. The limits hold for every batch; their Size is set here, to [Size].
func New(name string, s Store, limits backend.Limits) *Log {
	limits.Size = Size
	return &Log{name: name, store: s, limits: limits}
}

// NewAppender makes one producer's way in.
func (l *Log) NewAppender(f backend.Format) backend.Appender {
	return backend.Pipelined(l.name, &appender{log: l, contentType: f.ContentType})
}

// Trim drops the records before the place given. [backend.Latest] drops all there are when it is called.
func (l *Log) Trim(ctx context.Context, before backend.Offset) error {
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return fmt.Errorf("%s: trim: %w", l.name, err)
	}
	st := board.State()
	seq, ok := ParseOffset(before)
	switch {
	case before == backend.Latest:
		seq = st.Tail
	case !ok || seq > st.Tail:
		return fmt.Errorf("%s: trim before %q: %w", l.name, before, backend.ErrOutOfRange)
	}
	if seq <= st.Head {
		return nil
	}
	return l.commit(ctx, "trim", &Write{Trim: seq})
}

// CloseForGood ends the stream: appends fail with ErrStreamClosed, readers get io.EOF behind the last record.
func (l *Log) CloseForGood(ctx context.Context) error {
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return fmt.Errorf("%s: close: %w", l.name, err)
	}
	if board.State().Closed {
		return nil
	}
	return l.commit(ctx, "close", &Write{Close: true})
}

func (l *Log) commit(ctx context.Context, what string, w *Write) error {
	if _, err := Commit(ctx, l.store, w); err != nil {
		return fmt.Errorf("%s: %s: %w", l.name, what, err)
	}
	return nil
}

// Size is the meter of every Log: value and headers, what they are and not how they are stored. It refuses a time that
// does not fit into 64 bits of nanoseconds.
func Size(r *backend.Record) (int, error) {
	if !r.Time.IsZero() && (r.Time.Before(minTime) || r.Time.After(maxTime)) {
		return 0, fmt.Errorf("time %v: want one between %v and %v: %w", r.Time, minTime.Year(), maxTime.Year(), backend.ErrRejected)
	}
	return Bytes(r), nil
}

// Bytes is what a record counts against byte limits.
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

// Time is a record's time as every Store keeps it: in nanoseconds, without zone and monotonic clock; now when it has none.
func Time(t time.Time, now int64) int64 {
	if t.IsZero() {
		return now
	}
	return t.UnixNano()
}
