package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/internal/committer"
)

// pieceBytes is the largest size of a value. When a value is added, bbolt writes the whole page again, and a page holds
// at least two values. So large values would be written several times.
const pieceBytes = 32 << 10

// The first byte of a piece says whether an append begins with the piece.
const (
	pieceMore  = 0
	pieceFirst = 1
)

// A boltVault keeps the bytes of streams in a bbolt file.
type boltVault struct {
	committer *committer.Committer
}

// submit queues c for the committer.
func (v *boltVault) submit(c *change) { v.committer.Do(boltChange{c}) }

// A boltChange is a change as a step of the committer.
type boltChange struct{ *change }

// Size implements [committer.Step].
func (c boltChange) Size() int { return c.size }

// Apply implements [committer.Step]. A refused change is not an error of the step: an error would fail the whole round.
func (c boltChange) Apply(tx *bbolt.Tx) error {
	// ErrUnchanged lets the committer leave out the commit, if no change of the round has drafts. A refused append
	// costs no fsync then.
	if !c.engine.apply(c.change, boltLedger{tx}) {
		return committer.ErrUnchanged
	}
	return nil
}

// Done implements [committer.Step].
func (c boltChange) Done(err error) {
	switch {
	// A file that is closed means that the server stops. Clients get 503 and come back; a 500 would look like a fault.
	case errors.Is(err, committer.ErrClosed), errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		err = ErrStopped
	case err != nil:
		err = fmt.Errorf("server: bolt: %w", err)
	}
	c.end(err)
}

// A boltLedger reads and writes in the transaction of a round. If bbolt panics on a damaged page, the committer catches
// the panic.
type boltLedger struct{ tx *bbolt.Tx }

func (l boltLedger) newKey() (uint64, error) { return l.tx.Bucket(bucketStreams).NextSequence() }

func (l boltLedger) place(s *stream, id string) (place, bool, error) {
	v := l.tx.Bucket(bucketProducers).Get(append(key(s.key), id...))
	if v == nil {
		return place{}, false, nil
	}
	if len(v) != 16 {
		return place{}, false, errors.New("server: bolt: a producer's state is broken")
	}
	return place{int64(binary.BigEndian.Uint64(v)), int64(binary.BigEndian.Uint64(v[8:]))}, true, nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }

// write stores a draft in the transaction of the round. bbolt writes nothing to the file before the commit, so an error
// in the middle leaves no half of a draft.
func (l boltLedger) write(d *draft) error {
	id := key(d.was.key)
	if d.will.removed {
		// A stream that was created and removed in one round was never in the file.
		if d.created {
			return nil
		}
		return l.remove(id)
	}
	// The row changes with every append, because the row holds the tail.
	v, err := json.Marshal(rowOf(d))
	if err != nil {
		return err
	}
	if err := l.tx.Bucket(bucketStreams).Put(id, v); err != nil {
		return err
	}
	for producer, at := range d.places {
		v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at.epoch)), uint64(at.seq))
		if err := l.tx.Bucket(bucketProducers).Put(append(key(d.was.key), producer...), v); err != nil {
			return err
		}
	}
	// A stream has its bucket from its creation on, also without data: view takes a missing bucket for a removed
	// stream.
	data, err := l.tx.Bucket(bucketData).CreateBucketIfNotExists(id)
	if err != nil {
		return err
	}
	data.FillPercent = 0.95 // positions only grow, so a full page receives no more keys
	for _, u := range d.units {
		if err := putPieces(data, u); err != nil {
			return err
		}
	}
	// The start in the row and the pieces change in one commit. A reader with an older segment may find its piece
	// missing, and gets ErrGone.
	if d.will.Start > d.was.Start && !d.created {
		return trimPieces(data, d.will.Start)
	}
	return nil
}

// putPieces stores the bytes of one append in pieces, under their positions.
func putPieces(data *bbolt.Bucket, u unit) error {
	kind := byte(pieceFirst)
	for at, rest := u.at, u.data; len(rest) > 0; kind = pieceMore {
		n := min(len(rest), pieceBytes)
		v := append(append(make([]byte, 0, n+1), kind), rest[:n]...)
		if err := data.Put(key(uint64(at)), v); err != nil {
			return err
		}
		at, rest = at+Position(n), rest[n:]
	}
	return nil
}

// trimPieces removes the pieces below start. start is a boundary between units, so no piece is cut.
func trimPieces(data *bbolt.Bucket, start Position) error {
	c := data.Cursor()
	// The loop goes back to the first key after each Delete. The place of a bbolt cursor is not certain after a Delete,
	// and c.Next could leave out a piece.
	for k, _ := c.First(); k != nil && Position(binary.BigEndian.Uint64(k)) < start; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

func (l boltLedger) remove(id []byte) error {
	if err := l.tx.Bucket(bucketStreams).Delete(id); err != nil {
		return err
	}
	// The pages become free at once, but the file does not shrink: bbolt uses free pages again for later data.
	if err := l.tx.Bucket(bucketData).DeleteBucket(id); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
		return err
	}
	producers := l.tx.Bucket(bucketProducers)
	var keys [][]byte // collected first: a cursor of bbolt may skip keys when keys are deleted under it
	c := producers.Cursor()
	for k, _ := c.Seek(id); len(k) >= 8 && string(k[:8]) == string(id); k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	for _, k := range keys {
		if err := producers.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

var errBroken = errors.New("server: bolt: the data has a hole")

// view calls f with a cursor on the pieces of a stream. f must be short and must not wait for others: an open
// transaction keeps bbolt from using freed pages again, and the file would grow.
func (v *boltVault) view(s uint64, f func(*bbolt.Cursor) error) error {
	err := v.committer.File().View(func(tx *bbolt.Tx) error {
		data := tx.Bucket(bucketData).Bucket(key(s))
		if data == nil {
			return ErrGone
		}
		return f(data.Cursor())
	})
	// A reader may come after Close. The file is no longer mapped then, and bbolt refuses the transaction.
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrStopped
	}
	return err
}

// span looks the units up in the file, with a cursor of its own transaction. Pieces hold no length of their append, so
// span finds the end of a unit at the beginning of the next.
func (v *boltVault) span(s segment, limit Position) (next Position, whole bool, err error) {
	from, end := s.from, s.end
	err = v.view(s.key, func(c *bbolt.Cursor) error {
		// from may lie in the middle of a piece, so the piece is the last one that begins at or below from.
		k, piece := atOrBelow(c, from)
		// The checks of lengths are for damaged files: bbolt has no checksums on its data pages, and a key of another
		// length would make the next line panic.
		if len(k) != 8 || len(piece) < 2 || from-Position(binary.BigEndian.Uint64(k)) >= Position(len(piece)-1) {
			return ErrGone // a trim has removed the piece after the segment was looked up
		}
		whole = Position(binary.BigEndian.Uint64(k)) == from && piece[0] == pieceFirst
		next = end
		if limit >= end {
			return nil
		}
		// We want the last unit that begins at or below limit. If there is none behind from, we take the next unit
		// behind from, because a range holds at least one unit. The first loop goes back over pieces that only continue
		// an append.
		for k, piece = atOrBelow(c, limit); k != nil && len(piece) > 0 && Position(binary.BigEndian.Uint64(k)) > from; k, piece = c.Prev() {
			if piece[0] == pieceFirst {
				next = Position(binary.BigEndian.Uint64(k))
				return nil
			}
		}
		for k, piece = c.Seek(key(uint64(from) + 1)); k != nil && len(piece) > 0; k, piece = c.Next() {
			if at := Position(binary.BigEndian.Uint64(k)); piece[0] == pieceFirst {
				next = min(at, end)
				return nil
			}
		}
		return nil
	})
	return next, whole, err
}

// atOrBelow moves c to the last piece that begins at or below p.
func atOrBelow(c *bbolt.Cursor, p Position) (k, v []byte) {
	k, v = c.Seek(key(uint64(p)))
	switch {
	case k == nil:
		return c.Last()
	case Position(binary.BigEndian.Uint64(k)) > p:
		return c.Prev()
	}
	return k, v
}

func (v *boltVault) reader(s segment, _ Position) piece { return boltPiece{v, s.key} }

// A boltPiece reads the pieces of a stream. Each call uses its own transaction, so a slow reader holds no transaction.
type boltPiece struct {
	vault *boltVault
	key   uint64
}

func (r boltPiece) readAt(p []byte, at Position) error {
	return r.vault.view(r.key, func(c *bbolt.Cursor) error {
		k, v := atOrBelow(c, at)
		for n := 0; n < len(p); k, v = c.Next() {
			if len(k) != 8 || len(v) < 2 {
				return errBroken
			}
			begin := Position(binary.BigEndian.Uint64(k))
			// The piece must hold the byte at at. A hole would make the bytes of the next piece appear at the wrong
			// place.
			if begin > at || at-begin >= Position(len(v)-1) {
				return errBroken
			}
			m := copy(p[n:], v[1+at-begin:])
			n += m
			at += Position(m)
		}
		return nil
	})
}
