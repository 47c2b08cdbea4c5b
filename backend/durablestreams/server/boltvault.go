package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/internal/boltfile"
)

// pieceBytes is how large values are: bbolt rewrites a page with all its values when one is added, and a page holds two at
// least, so large ones would be written several times.
const pieceBytes = 32 << 10

// The first byte of a piece says whether an append begins with it.
const (
	pieceMore  = 0
	pieceFirst = 1
)

type boltVault struct {
	file *boltfile.File
	// broken is why a commit failed: whether it is on the disk is then unknown, so that the file may be ahead of what is in
	// memory. Nothing is changed any more until it is opened again; reading goes on.
	broken error
}

func (v *boltVault) begin() (ledger, error) {
	if v.broken != nil {
		return nil, fmt.Errorf("server: bolt: open the file again, a commit failed: %w", v.broken)
	}
	tx, err := v.file.Begin()
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return nil, ErrStopped
	}
	if err != nil {
		return nil, fmt.Errorf("server: bolt: %w", err)
	}
	return &boltLedger{tx, v}, nil
}

type boltLedger struct {
	tx    *bbolt.Tx
	vault *boltVault
}

func (l *boltLedger) rollback() { l.vault.file.Rollback(l.tx) }

func (l *boltLedger) newKey() (key uint64, err error) {
	err = l.vault.file.Write(func() error {
		key, err = l.tx.Bucket(bucketStreams).NextSequence()
		return err
	})
	return key, err
}

func (l *boltLedger) place(s *stream, id string) (at place, found bool, err error) {
	err = l.vault.file.Write(func() error {
		at, found, err = l.stored(s, id)
		return err
	})
	return at, found, err
}

func (l *boltLedger) stored(s *stream, id string) (place, bool, error) {
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

func (l *boltLedger) commit(drafts []*draft) error {
	for _, d := range drafts {
		if err := l.vault.file.Write(func() error { return l.write(d) }); err != nil {
			l.rollback()
			return fmt.Errorf("server: bolt: %w", err)
		}
	}
	if err := l.vault.file.Write(l.tx.Commit); err != nil {
		if errors.Is(err, boltfile.ErrDamaged) {
			l.rollback()
		}
		l.vault.broken = err
		return fmt.Errorf("server: bolt: commit: %w", err)
	}
	return nil
}

func (l *boltLedger) write(d *draft) error {
	streams, producers, all := l.tx.Bucket(bucketStreams), l.tx.Bucket(bucketProducers), l.tx.Bucket(bucketData)
	id := key(d.key)
	if d.removed {
		if d.fresh {
			return nil
		}
		return l.remove(id)
	}
	v, err := json.Marshal(rowOf(d))
	if err != nil {
		return err
	}
	if err := streams.Put(id, v); err != nil {
		return err
	}
	for producer, at := range d.places {
		v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at.epoch)), uint64(at.seq))
		if err := producers.Put(append(key(d.key), producer...), v); err != nil {
			return err
		}
	}
	data, err := all.CreateBucketIfNotExists(id)
	if err != nil {
		return err
	}
	data.FillPercent = 0.95 // positions only go up
	for _, u := range d.units {
		kind := byte(pieceFirst)
		for at, rest := u.at, u.data; len(rest) > 0; kind = pieceMore {
			n := min(len(rest), pieceBytes)
			v := append(append(make([]byte, 0, n+1), kind), rest[:n]...)
			if err := data.Put(key(uint64(at)), v); err != nil {
				return err
			}
			at, rest = at+Position(n), rest[n:]
		}
	}
	if d.Start > d.stream.Start && !d.fresh {
		return trimPieces(data, d.Start)
	}
	return nil
}

func trimPieces(data *bbolt.Bucket, start Position) error {
	c := data.Cursor()
	for k, _ := c.First(); k != nil && Position(binary.BigEndian.Uint64(k)) < start; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

func (l *boltLedger) remove(id []byte) error {
	if err := l.tx.Bucket(bucketStreams).Delete(id); err != nil {
		return err
	}
	if err := l.tx.Bucket(bucketData).DeleteBucket(id); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
		return err
	}
	producers := l.tx.Bucket(bucketProducers)
	var keys [][]byte // a cursor does not survive deletions
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

// view calls f with the pieces of a stream. Transactions are short: none is held while somebody else is waited for.
func (v *boltVault) view(s uint64, f func(*bbolt.Cursor) error) error {
	err := v.file.View(func(tx *bbolt.Tx) error {
		data := tx.Bucket(bucketData).Bucket(key(s))
		if data == nil {
			return ErrGone
		}
		return f(data.Cursor())
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrStopped
	}
	return err
}

func (v *boltVault) span(s segment, limit Position) (next Position, whole bool, err error) {
	from, end := s.from, s.end
	err = v.view(s.key, func(c *bbolt.Cursor) error {
		k, piece := atOrBelow(c, from)
		if len(k) != 8 || len(piece) < 2 || from-Position(binary.BigEndian.Uint64(k)) >= Position(len(piece)-1) {
			return ErrGone // trimmed since the segment was looked up
		}
		whole = Position(binary.BigEndian.Uint64(k)) == from && piece[0] == pieceFirst
		next = end
		if limit >= end {
			return nil
		}
		// The last unit that begins at or below limit, or else the next one behind from.
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

// A boltPiece reads a stream's pieces, each call in a transaction of its own.
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
