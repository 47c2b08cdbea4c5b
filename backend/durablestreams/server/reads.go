package server

import (
	"context"
	"fmt"
	"io"
	"time"
)

// visible returns the stream that readers see under a name. The lock is held.
func (e *engine) visible(name string) (*stream, error) {
	s := e.names[name]
	switch {
	case e.stopped:
		return nil, ErrStopped
	case s == nil:
		return nil, ErrNotFound
	case s.Gone:
		return nil, ErrGone
	case s.expired(time.Now()):
		if s.Refs > 0 {
			return nil, ErrGone
		}
		return nil, ErrNotFound
	}
	return s, nil
}

// Head implements [Storage].
func (e *engine) Head(_ context.Context, name string) (Info, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	s, err := e.visible(name)
	if err != nil {
		return Info{}, err
	}
	return s.info(), nil
}

// Read implements [Storage].
func (e *engine) Read(_ context.Context, name string, from Position, limit int) (Chunk, error) {
	return e.read(name, from, limit, true)
}

func (e *engine) read(name string, from Position, limit int, touch bool) (Chunk, error) {
	e.mu.RLock()
	c, perishable, err := e.look(name, from, limit)
	e.mu.RUnlock()
	if touch && perishable && err == nil {
		e.mu.Lock()
		if s := e.names[name]; s != nil && s.id == c.ID {
			s.touch()
		}
		e.mu.Unlock()
	}
	return c, err
}

// look is Read under the lock.
func (e *engine) look(name string, from Position, limit int) (_ Chunk, perishable bool, err error) {
	s, err := e.visible(name)
	if err != nil {
		return Chunk{}, false, err
	}
	switch from {
	case Now:
		from = s.Tail
	case Beginning:
		from = s.earliest()
	}
	c := Chunk{Info: s.info(), From: from, Next: from}
	if from > s.Tail {
		return c, false, fmt.Errorf("%w: the offset is beyond the tail", ErrGone)
	}
	pieces := make([]span, 0, 1)
	c.Next, err = e.walk(s, from, limit, func(owner *stream, from, next Position) {
		pieces = append(pieces, span{from, next, e.vault.reader(owner, from, next)})
	})
	c.Data = &data{from, pieces}
	return c, s.config.TTL.Set, err
}

// walk calls visit for each part of a range that begins at from and has about limit bytes, and returns its end. The lock
// is held.
func (e *engine) walk(s *stream, from Position, limit int, visit func(owner *stream, from, next Position)) (Position, error) {
	upTo := from + Position(limit)
	for at := from; at < s.Tail; {
		if at >= upTo {
			return at, nil
		}
		owner, end := s.owner(at)
		if at < owner.Start {
			return at, fmt.Errorf("%w: the offset is before the earliest one kept", ErrGone)
		}
		next, whole, err := e.vault.span(owner, at, upTo, end)
		if err != nil {
			return at, err
		}
		if !whole && at == from && isJSON(s.config.ContentType) {
			return at, fmt.Errorf("%w: the offset is within a message", ErrRequest)
		}
		if next > upTo && at > from {
			return at, nil // a large append, which begins the next chunk
		}
		visit(owner, at, next)
		at = next
		if at >= s.Tail {
			return at, nil
		}
		if at < end {
			return at, nil // the owner has more, but not within the limit
		}
	}
	return from, nil
}

type span struct {
	from, next Position
	piece      piece
}

// data is the bytes of a Chunk: several pieces where forks are read through.
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
	s, err := e.visible(name)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	s.waiting++
	for err == nil && s.Tail <= after && !s.Closed {
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
		case s.removed:
			err = ErrNotFound
		case s.Gone:
			err = ErrGone
		case e.stopped:
			err = ErrStopped
		}
	}
	s.waiting--
	s.touch()
	e.mu.Unlock()
	return err
}
