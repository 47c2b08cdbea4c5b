package server

import (
	"context"
	"fmt"
	"io"
	"time"
)

// visibleLocked returns the stream that readers see under a name. e.mu is held.
func (e *engine) visibleLocked(name string) (*stream, error) {
	s := e.names[name]
	switch {
	case e.stopped:
		return nil, ErrStopped
	case s == nil:
		return nil, ErrNotFound
	case s.Hidden:
		return nil, errHidden
	// The sweeper removes expired streams only about once a second. Readers must not see a stream in between, or the
	// end of a stream would depend on the sweeper.
	case s.expiredLocked(time.Now()):
		if s.Refs > 0 {
			return nil, errHidden
		}
		return nil, ErrNotFound
	}
	return s, nil
}

// Head implements [Storage].
func (e *engine) Head(_ context.Context, name string) (Info, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	s, err := e.visibleLocked(name)
	if err != nil {
		return Info{}, err
	}
	return s.infoLocked(), nil
}

// Read implements [Storage].
func (e *engine) Read(_ context.Context, name string, from Position, limit int) (Chunk, error) {
	return e.read(name, from, limit, true)
}

func (e *engine) read(name string, from Position, limit int, touch bool) (Chunk, error) {
	e.mu.RLock()
	s, err := e.visibleLocked(name)
	if err != nil {
		e.mu.RUnlock()
		return Chunk{}, err
	}
	switch from {
	case Now:
		from = s.Tail
	case Beginning:
		from = s.earliestLocked()
	}
	c := Chunk{Info: s.infoLocked(), From: from}
	// The description, the range and the segments are taken under one lock. Otherwise a round in between could move the
	// tail, and a response could claim to reach a tail that it does not hold.
	list := s.segmentsLocked(from)
	// From here on the read works without the lock: stored bytes do not change, and a segment holds everything that is
	// needed to find them.
	e.mu.RUnlock()
	if from > c.Tail {
		return c, fmt.Errorf("%w: the offset %v is beyond the tail %v: the data of the server was replaced, or the offset is of another stream", ErrGone, from, c.Tail)
	}
	pieces := make([]span, 0, len(list))
	c.Next, err = e.walk(list, &c.Info, from, limit, func(s segment, next Position) {
		pieces = append(pieces, span{s.from, next, e.vault.reader(s, next)})
	})
	if err != nil {
		return c, err
	}
	c.Data = &data{from, pieces}
	// Only streams with a TTL pay for the second lock. A read that fails renews nothing.
	if touch && c.TTL.Set {
		e.mu.Lock()
		s.renewTTLLocked()
		e.mu.Unlock()
	}
	return c, nil
}

// walk calls visit for each part of a range of about limit bytes that begins at from, and returns the end of the range.
// The parts of a fork belong to several streams. walk fails if a part is not kept any more. In a JSON stream walk also
// fails if from is within a message, because the response would begin in the middle of the message.
func (e *engine) walk(list []segment, info *Info, from Position, limit int, visit func(s segment, next Position)) (Position, error) {
	at, upTo := from, from+Position(limit)
	for _, s := range list {
		if at >= upTo {
			break
		}
		// A trim has dropped the place. To read on from the earliest place would skip data without a word, so the
		// client must decide.
		if at < s.start {
			return at, fmt.Errorf("%w: the offset %v is before the earliest offset kept, %v: read from -1", ErrGone, at, s.start)
		}
		next, whole, err := e.vault.span(s, upTo)
		if err != nil {
			return at, err
		}
		// Only the beginning of the range can lie within a message: every further segment of a fork begins at a
		// boundary that the creation has checked.
		if !whole && at == from && isJSON(info.ContentType) {
			return at, fmt.Errorf("%w: the offset %v is within a message: use only offsets of the server", ErrRequest, at)
		}
		// The first part is visited even if it is too large, because a range holds at least one append.
		if next > upTo && at > from {
			break // a large append begins the next chunk
		}
		visit(s, next)
		if at = next; at < s.end {
			break // the limit ends within the segment
		}
	}
	return at, nil
}

// A span is the part of a Chunk that belongs to one stream.
type span struct {
	from, next Position
	piece      piece
}

// data is the bytes of a Chunk. The Chunk of a fork may have several spans.
type data struct {
	from   Position
	pieces []span
}

// ReadAt implements [io.ReaderAt].
func (d *data) ReadAt(p []byte, off int64) (n int, err error) {
	at := d.from + Position(off)
	for _, s := range d.pieces {
		if n == len(p) {
			break
		}
		// The pieces are in order and without a gap. So a piece that does not hold the byte at this place lies before
		// it or behind it.
		if at < s.from || at >= s.next {
			continue
		}
		k := min(len(p)-n, int(s.next-at))
		if err := s.piece.readAt(p[n:n+k], at); err != nil {
			return n, err
		}
		n += k
		at += Position(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Wait implements [Storage].
func (e *engine) Wait(ctx context.Context, name string, after Position) error {
	e.mu.Lock()
	s, err := e.visibleLocked(name)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	// A stream with waiting readers does not expire: see expiredLocked.
	s.waiting++
	for err == nil && s.Tail <= after && !s.Closed {
		// We take the channel under the same lock as the look at the tail. Otherwise an append in between would not
		// wake us.
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		e.mu.Lock()
		switch {
		// After a wake-up the stream counts, and not the name: the name may belong to another stream now, and data of
		// the other stream is no news for this reader.
		case s.removed:
			err = ErrNotFound
		case s.Hidden:
			err = errHidden
		case e.stopped:
			err = ErrStopped
		}
	}
	// The TTL begins again when the wait ends. Without the renewal, a stream could expire at once after a long wait,
	// before the reader asks again.
	s.waiting--
	s.renewTTLLocked()
	e.mu.Unlock()
	return err
}
