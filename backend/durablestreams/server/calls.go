package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// defaultType is the content type of a stream that is created without a content type.
const defaultType = "application/octet-stream"

// Append implements [Storage].
func (e *engine) Append(ctx context.Context, name string, a Append) (Outcome, error) {
	// out is filled within the round, on the goroutine of the vault. commit returns only after the round has ended, so
	// the two goroutines never use out at the same time.
	var out Outcome
	err := e.commit(ctx, len(a.Data), func(b *round) error {
		d := b.find(name)
		if d == nil {
			return ErrNotFound
		}
		// A refusal fills in the tail too: a client with a gap waits for the missing batch at this tail.
		err := b.append(d, &a, &out)
		out.ID, out.Tail, out.Closed = d.was.id, d.will.Tail, d.will.Closed
		return err
	})
	return out, err
}

// append stores a, or returns the reason for refusing a. The protocol fixes the order of the checks: a client must see
// the refusal that comes first in this order.
func (b *round) append(d *draft, a *Append, out *Outcome) error {
	if d.will.Hidden {
		return errHidden
	}
	// The decision about the producer comes before the check for the end of the stream, and its refusal after. A resend
	// of the batch that has closed the stream is a duplicate and succeeds; every other batch learns first that the
	// stream is closed.
	duplicate, err := b.admit(d, a.Producer, out)
	switch {
	case d.will.Closed:
		// A batch that its producer sends again is already stored, even if the stream was closed after it. A refusal
		// would make the producer believe that the batch is lost. Closing again without data changes nothing.
		if err != nil || !duplicate && !a.closesOnly() {
			return ErrClosed
		}
		duplicate = true
	// An append that only closes needs no content type, so the type is compared only where there is data.
	case (len(a.Data) > 0 || a.Invalid != nil) && mediaType(a.ContentType) != mediaType(d.was.config.ContentType):
		return fmt.Errorf("%w: %.80q", ErrType, d.was.config.ContentType)
	case err != nil:
		return err
	}
	// A duplicate stores nothing, and does not look at Data either: a resend may have other bytes, and the first bytes
	// count.
	if duplicate {
		out.Duplicate = true
		b.renewTTL(d)
		return nil
	}
	if err := d.fits(a); err != nil {
		return err
	}
	// Nothing after this line may refuse the append: the draft is part of the round.
	b.keep(d).store(a)
	if a.Producer != nil {
		out.Epoch, out.Seq = a.Producer.Epoch, a.Producer.Seq
	}
	return nil
}

// fits returns the reason why new data cannot be stored behind the tail, or nil.
func (d *draft) fits(a *Append) error {
	switch {
	// The protocol compares sequences byte by byte, so "10" is less than "9". The sequence in the draft counts, because
	// two writers may share a round.
	case a.Sequence != "" && a.Sequence <= d.will.Sequence:
		return ErrSequence
	case a.Invalid != nil:
		return a.Invalid
	// The token of a position has sixteen digits. A longer number would not sort as a token, and readers would take
	// later data for earlier data.
	case Position(len(a.Data)) > maxPosition-d.will.Tail:
		return fmt.Errorf("%w: the stream is full", ErrRequest)
	}
	return nil
}

// closesOnly reports whether a only closes the stream.
func (a *Append) closesOnly() bool {
	return a.Close && len(a.Data) == 0 && a.Producer == nil && a.Invalid == nil
}

// renewTTL renews the TTL of a stream that does not change otherwise. The time is not stored, so this needs no commit.
func (b *round) renewTTL(d *draft) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d.was.renewTTLLocked()
}

// admit decides on the batch of a producer, and fills the place of the producer into out.
func (b *round) admit(d *draft, p *Producer, out *Outcome) (duplicate bool, err error) {
	if p == nil {
		return false, nil
	}
	at, known, err := b.place(d, p.ID)
	if err != nil {
		return false, err
	}
	out.Epoch, out.Seq = at.epoch, at.seq
	return admit(at, known, p)
}

// Create implements [Storage].
func (e *engine) Create(ctx context.Context, name string, c Creation) (Info, bool, error) {
	var refined prefix
	if c.Fork != nil && c.Fork.Sub > 0 {
		// Stored bytes do not change, so we read the source before the round, and the round need not wait for the read.
		// Within the round we check that the name still belongs to the same source.
		refined = e.forkPrefix(c.Fork)
	}
	var (
		info    Info
		created bool
	)
	err := e.commit(ctx, len(c.Data), func(b *round) error {
		if d := b.find(name); d != nil {
			// A hidden stream blocks its name until the last fork is gone. A new stream of the name would have the same
			// URL, and the forks name their source by its URL.
			if d.will.Hidden || !d.same(&c) {
				return ErrExists
			}
			info = d.info()
			return nil
		}
		d, err := b.create(name, &c, refined)
		if err != nil {
			return err
		}
		// created is set only here, and not by the commit: another Create of the same name may have come first in this
		// round.
		created = true
		info = d.info()
		return nil
	})
	return info, created, err
}

// same reports whether c asks for the stream that exists. A fork inherits what its creation leaves out, so a repeated
// creation may leave out the same.
func (d *draft) same(c *Creation) bool {
	is := d.was.config
	if (c.Fork == nil) != (is.Fork == nil) || c.Closed != d.will.Closed {
		return false
	}
	if c.Fork != nil {
		if !d.sameFork(c.Fork) {
			return false
		}
		if !c.TTL.Set && c.Deadline.IsZero() {
			c.TTL, c.Deadline = is.TTL, is.Deadline
		}
		if c.ContentType == "" {
			c.ContentType = is.ContentType
		}
	}
	if c.ContentType == "" {
		c.ContentType = defaultType
	}
	return mediaType(c.ContentType) == mediaType(is.ContentType) && c.TTL == is.TTL && c.Deadline.Equal(is.Deadline)
}

// sameFork reports whether f branches off at the same place as the stream. Now means the place where the tail was at
// that time.
func (d *draft) sameFork(f *Fork) bool {
	is := d.was.config.Fork
	at := f.At == Now || f.At == is.At || is.At == Now && f.At == d.was.base
	return at && f.Source == is.Source && f.Sub == is.Sub
}

func (b *round) create(name string, c *Creation, refined prefix) (*draft, error) {
	s := &stream{name: name, touched: b.now, config: config{c.ContentType, c.TTL, c.Deadline, c.Closed, c.Fork}}
	if c.Fork != nil {
		if err := b.fork(s, refined); err != nil {
			return nil, err
		}
	}
	if s.config.ContentType == "" {
		s.config.ContentType = defaultType
	}
	// The checks of a fork come before the key, so a refused creation uses no key.
	key, err := b.ledger.newKey()
	if err != nil {
		return nil, err
	}
	// The id is random, because keys begin again when somebody replaces the file by an empty one. A counted id would
	// then name another stream.
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s.key, s.id = key, hex.EncodeToString(id[:])
	d := b.keep(&draft{was: s, created: true})
	d.will.Start, d.will.Tail = s.base, s.base
	d.store(&Append{Data: c.Data, Close: c.Closed})
	if s.parent != nil {
		// The count changes in the same commit as the fork appears. From now on the source can be hidden, but not
		// removed.
		b.draft(s.parent).will.Refs++
	}
	return d, nil
}

// fork checks the place where s branches off, and makes s inherit what its creation has left out. fork does not count
// the reference to the source yet. The rest of the creation may still fail, and a wrong count would keep the source
// hidden for ever.
func (b *round) fork(s *stream, refined prefix) error {
	f := s.config.Fork
	source := b.find(f.Source)
	switch {
	case source == nil:
		return ErrNotFound
	// A deleted source takes no new forks. Otherwise the source could live for ever.
	case source.will.Hidden:
		return fmt.Errorf("%w: the source is deleted", ErrExists)
	case s.config.ContentType == "":
		s.config.ContentType = source.was.config.ContentType
	case mediaType(s.config.ContentType) != mediaType(source.was.config.ContentType):
		return fmt.Errorf("%w than the fork: %.80q", ErrType, source.was.config.ContentType)
	}
	s.base = f.At
	if f.At == Now {
		s.base = source.will.Tail
	}
	if refined.size > 0 && refined.id != source.was.id {
		return ErrNotFound // another stream has taken the name of the source meanwhile
	}
	if s.base += refined.size; s.base > source.will.Tail {
		return fmt.Errorf("%w: the fork offset is beyond the tail of the source", ErrRequest)
	}
	if refined.err != nil {
		return refined.err
	}
	// The tail is always a boundary. Everywhere else the vault must say so. After a sub-offset, forkPrefix has counted
	// the messages already.
	if refined.size == 0 && s.base != source.will.Tail {
		if err := b.boundary(source, s.base); err != nil {
			return err
		}
	}
	if !s.config.TTL.Set && s.config.Deadline.IsZero() {
		s.config.TTL, s.config.Deadline = source.was.config.TTL, source.was.config.Deadline
	}
	s.parent = source.was
	return nil
}

// boundary refuses a place that is not kept. In a JSON stream it also refuses a place within an append, because the
// fork would begin in the middle of a message.
func (b *round) boundary(d *draft, at Position) error {
	// The vault knows no units of this round, so a place behind the published tail is looked up in the draft.
	if at >= d.was.Tail {
		for _, u := range d.units { // appended in this round
			if u.at == at {
				return nil
			}
		}
		if isJSON(d.was.config.ContentType) {
			return fmt.Errorf("%w: the fork offset is within an append", ErrRequest)
		}
		return nil
	}
	info := d.info()
	_, err := b.walk(d.was.segmentsLocked(at), &info, at, 1, func(segment, Position) {})
	return err
}

// A prefix is how much of the append at its offset a fork takes over.
type prefix struct {
	id   string   // the id of the source
	size Position // bytes
	err  error    // the reason why the fork takes over nothing
}

// forkPrefix returns the size of the first f.Sub messages or bytes of the append at f.At.
func (e *engine) forkPrefix(f *Fork) prefix {
	beyond := prefix{err: fmt.Errorf("%w: the fork's sub-offset is beyond the append", ErrRequest)}
	if f.At == Now {
		return beyond
	}
	// A limit of 1 finds exactly the append at f.At. The read does not renew the TTL of the source, because the fork
	// may still be refused.
	c, err := e.read(f.Source, f.At, 1, false)
	if err != nil {
		return prefix{err: err}
	}
	size := int64(c.Next - c.From)
	if f.At != c.From || size == 0 {
		return beyond
	}
	if !isJSON(c.ContentType) {
		if f.Sub > size {
			return beyond
		}
		return prefix{id: c.ID, size: Position(f.Sub)}
	}
	// The whole append is in memory for a moment. AppendBytes bounds its size.
	stored := make([]byte, size)
	if _, err := c.Data.ReadAt(stored, 0); err != nil {
		return prefix{err: err}
	}
	n, ok := messages(stored, f.Sub)
	if !ok {
		return beyond
	}
	return prefix{id: c.ID, size: Position(n)}
}

// Delete implements [Storage].
func (e *engine) Delete(ctx context.Context, name string) error {
	return e.commit(ctx, 0, func(b *round) error {
		d := b.find(name)
		if d == nil {
			return ErrNotFound
		}
		if d.will.Hidden {
			return errHidden
		}
		b.drop(b.keep(d))
		return nil
	})
}

// forgetUnitsLocked drops the units below the start of a stream in memory. The engine's lock is held for writing.
// Without it, Retain would hide old data from readers and keep the memory.
func forgetUnitsLocked(s *stream) {
	n, _ := slices.BinarySearchFunc(s.units, s.Start, func(u unit, p Position) int {
		if u.at < p {
			return -1
		}
		return 1
	})
	// Readers may hold the old list, so we copy the list instead of changing it. Each copy costs the length of the
	// list, so we make a copy only when half of the list can be dropped.
	if n > 0 && n >= len(s.units)/2 {
		s.units = slices.Clone(s.units[n:])
	}
}

// renewTTLLocked renews the TTL. The engine's lock is held for writing.
func (s *stream) renewTTLLocked() { s.touched = time.Now() }
