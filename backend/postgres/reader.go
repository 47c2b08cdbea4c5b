package postgres

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

// Bounds of a batch from Read. If the records of a batch are larger than the records before, the batch may have twice
// readBytes, and the last record may exceed this limit.
const (
	readRecords = 4000
	readBytes   = 1 << 20
)

// OpenReader starts reading at from. OpenReader resolves a relative start before the return. If the offset is no place
// of this stream, for example a place of a deleted stream of the same name, the error is [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.failed("open reader of", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	// The start is resolved once. If each Read resolved Latest again, records that arrive between two Reads would be lost.
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.failed("open reader of", err)
	}
	at, err := s.resolve(ctx, v, from)
	if err != nil {
		return nil, s.failed("open reader of", err)
	}
	life, cancel := context.WithCancel(context.Background())
	return &reader{stream: s, id: v.id, at: at, tail: v.tail, fresh: true, relative: from.Relative(), earliest: from == backend.Earliest,
		limit: readRecords, life: life, cancel: cancel}, nil
}

// When there is more to read, a reader asks for the next page before the caller does: the server works while the caller
// consumes a page. So a reader holds two pages at most, and holds a connection only during a query.
type reader struct {
	stream   *Stream
	id       int64 // 0: the stream did not exist
	at, tail position
	fresh    bool          // no Read has returned yet
	relative bool          // the start was relative, so the first Read returns the place without waiting for a record
	earliest bool          // opened at Earliest, so a trim before the first record may move the place
	limit    int           // how many records to ask for
	asked    <-chan answer // of the query that is running or has ended; nil if there is none
	told     uint64        // the mark of the last answer
	hidden   bool          // the last answer says that records are hidden
	notified bool          // Notify was called since the last Read
	failure  error

	life    context.Context
	cancel  context.CancelFunc
	closed  atomic.Bool
	noticed atomic.Pointer[waiter] // of the last Notify
}

// An answer is what a query has returned. told is the mark of the board at the beginning of the query.
type answer struct {
	*page
	err  error
	told uint64
}

// Read returns the records that have arrived, or waits for records.
func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	if r.closed.Load() {
		return backend.Batch{}, r.stream.failed("read", backend.ErrClosed)
	}
	if r.failure != nil {
		return backend.Batch{}, r.failure
	}
	b, err := r.read(ctx)
	switch {
	case err == nil:
		return b, nil
	case r.closed.Load():
		err = r.stream.failed("read", backend.ErrClosed)
	case err != io.EOF:
		err = r.stream.failed("read", err)
	}
	// The error is final, and each further Read returns the same error. The caller opens another reader at a place
	// that the caller knows.
	r.failure = err
	r.cancel() // nobody will take the answer of a query that is still running
	return backend.Batch{}, err
}

func (r *reader) read(ctx context.Context) (backend.Batch, error) {
	for {
		// The answer may be there already, and select picks one of two ready cases by chance. A caller whose ctx has ended
		// must not get records.
		if err := ctx.Err(); err != nil {
			return backend.Batch{}, ended(ctx)
		}
		a, err := r.answer(ctx)
		if err != nil {
			return backend.Batch{}, err
		}
		b, err := r.take(a)
		r.told, r.hidden = a.told, a.page.pending
		// The first Read may return without records. The consumer then knows the place of a relative start, and that
		// the tail is reached, although no record may arrive for a long time. So may a Read behind Notify: the consumer
		// then calls Notify again, and needs no goroutine that waits here.
		if err != nil || len(b.Records) > 0 || r.fresh && (b.CaughtUp || r.relative) || r.notified {
			r.fresh, r.notified = false, false
			return b, err
		}
		r.wait(ctx)
	}
}

// ask starts a query at the present place. The query runs beside the caller, and ends with the reader: a caller whose
// ctx ends need not wait for the server.
func (r *reader) ask(expected int) {
	r.stream.db.listener.begin()
	// The mark comes before the query. In the other order, a commit between the query and the mark would go unnoticed
	// until the next poll.
	told := r.stream.db.board.mark()
	asked := make(chan answer, 1) // one answer, so the goroutine ends even if nobody takes the answer
	go func(from position, limit int) {
		// The query uses the life of the reader and not the ctx of a Read: the next Read, with another ctx, may take
		// the answer.
		p, err := r.stream.fetch(r.life, from, limit, expected)
		asked <- answer{p, err, told}
	}(r.at, r.limit)
	r.asked = asked
}

// answer waits for the answer to a query.
func (r *reader) answer(ctx context.Context) (answer, error) {
	if r.asked == nil {
		r.ask(0)
	}
	select {
	case a := <-r.asked:
		r.asked = nil
		return a, a.err
	case <-ctx.Done():
		return answer{}, ended(ctx)
	// Close must wake a Read that waits. Close also cancels the query, but the query may end later.
	case <-r.life.Done():
		return answer{}, ended(r.life)
	}
}

func ended(ctx context.Context) error { return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err()) }

// take makes a batch of an answer, and asks for the next page if there may be one.
func (r *reader) take(a answer) (b backend.Batch, err error) {
	if err := r.look(a.page); err != nil {
		return b, err
	}
	n := len(a.recs)
	// While records are pending, a sealed stream is not at its end: the older transaction ends, and the records
	// appear.
	if n == 0 && a.sealed && !a.pending && !r.fresh { // the first Read must return the place, even at the end
		return b, io.EOF
	}
	if n > 0 {
		r.at = a.last.behind()
		r.limit = max(1, min(readRecords, readBytes/max(1, a.bytes/n))) // records as large as these will fill a page
	}
	// r.at is behind this page, so the query of the next page runs while the caller works on this page.
	if a.full {
		r.ask(r.limit)
	}
	return backend.Batch{
		Records: a.recs, Next: r.at.offset(), CaughtUp: r.at.compare(r.tail) >= 0,
		Closed: a.sealed && !a.pending && !a.full, // this batch is the last one
		Free:   records.Free(a.recs),
	}, nil
}

// look compares the state of the stream with the state that the reader knows.
func (r *reader) look(p *page) error {
	switch {
	case !p.found && r.id != 0:
		// If we waited on, a stream of the same name could be made again, and its records would look like a
		// continuation.
		return fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound)
	case !p.found:
		return nil
	case r.id == 0:
		// The stream was made after the reader was opened.
		r.id = p.id
	case r.id != p.id:
		return fmt.Errorf("the stream was deleted, and another one has its name: %w", backend.ErrNotFound)
	}
	if p.trim.compare(r.at) > 0 {
		// The caller wanted the records between at and trim, and they are gone. A reader at Earliest wanted the first
		// records that exist, so such a reader moves on with the trim until its first record.
		if !r.earliest {
			return fmt.Errorf("offset %s is trimmed, the first place kept is %s: %w", r.at, p.trim, backend.ErrOutOfRange)
		}
		// The next place must not be in front of the trim. A checkpoint there could not be opened again.
		r.at = p.trim
	}
	if len(p.recs) > 0 {
		r.earliest = false
	}
	return nil
}
