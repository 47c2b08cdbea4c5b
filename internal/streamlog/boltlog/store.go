package boltlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// A stream is one top-level bucket: the key "state", a bucket of blocks and one of metadata. One level of buckets less is
// one page less in every commit.
const bucketPrefix = "headrace/stream/"

var (
	stateKey   = []byte("state")
	recordsKey = []byte("records")
	metaKey    = []byte("meta")
)

// store is one stream in the file. The machinery around it knows it by its Board and by these methods only.
type store struct {
	db     *DB
	name   string
	bucket []byte
	board  *streamlog.Board

	writer // of the committer
}

// newStore reads the state of a stream. What is wrong with it ends the board: everybody who opens it is told.
func newStore(db *DB, name string) *store {
	s := &store{db: db, name: name, bucket: []byte(bucketPrefix + name)}
	var err error
	if len(name) == 0 || len(name) > 512 {
		err = fmt.Errorf("a name of %d bytes, want 1 to 512: %w", len(name), backend.ErrRejected)
	} else {
		err = s.load()
	}
	s.board = streamlog.NewBoard(s.durable.State)
	if err != nil {
		s.board.End(err)
	}
	return s
}

func (s *store) load() error {
	return s.look(func(b, records *bbolt.Bucket) (err error) {
		if s.durable, err = decodeState(b.Get(stateKey)); err != nil {
			return err
		}
		// The state and the blocks are written together, so they agree or something has touched the file.
		k, v := records.Cursor().Last()
		if k == nil {
			return nil
		}
		first, n, err := blockHead(k, v)
		if err == nil && first+n != s.durable.Tail {
			err = fmt.Errorf("the last block ends at %d, the tail is %d: %w", first+n, s.durable.Tail, errCorruptState)
		}
		return err
	})
}

// view is look for as long as the stream has not ended. What is in the file under the name of a deleted stream may be the
// next stream of that name. The board of the deleted one ends before the next one is stored, so it is asked after the look.
func (s *store) view(f func(b, records *bbolt.Bucket) error) error {
	if err := s.look(f); err != nil {
		return err
	}
	return s.board.Err()
}

// look runs f in a read transaction, if there is a stream of the name. Transactions are short: an open one keeps pages from
// being used again, and the file from being mapped anew.
func (s *store) look(f func(b, records *bbolt.Bucket) error) error {
	err := s.db.file.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.bucket)
		if b == nil {
			return nil
		}
		records := b.Bucket(recordsKey)
		if records == nil {
			return fmt.Errorf("no bucket of records: %w", errCorruptState)
		}
		return f(b, records)
	})
	if err != nil {
		return s.db.fileError(err)
	}
	return nil
}

func (s *store) Board() *streamlog.Board { return s.board }

func (s *store) Commit(w *streamlog.Write) {
	o := &op{store: s, write: w, blocks: encode(w.Records, time.Now().UnixNano()), done: w.Done}
	w.Records = nil // lent until now
	s.db.enqueue(o)
}

func (s *store) Read(seq uint64, limit streamlog.ReadLimit) ([]backend.Record, error) {
	if s.board.State().Head > seq {
		return nil, nil // the block may still be there
	}
	raw, err := s.copyBlocks(seq, limit)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	count := uint64(0)
	for i := range raw {
		count += raw[i].count
	}
	room := int(min(uint64(limit.Records), limit.Below-seq))
	out := make([]backend.Record, 0, min(uint64(room), count))
	for i := range raw {
		whole := len(out)
		out, err = decode(out, raw[i].data, raw[i].first, seq, room-len(out))
		if err != nil && whole == 0 {
			return nil, fmt.Errorf("%s: block at seq %d: %w", s.db.path, raw[i].first, err)
		}
		if err != nil { // what comes before it is returned before it
			out = out[:whole]
			break
		}
		if len(out) == room {
			break
		}
	}
	streamlog.SetOffsets(out, seq)
	return out, nil
}

type rawBlock struct {
	first, count uint64
	data         []byte
}

// copyBlocks returns the blocks from the one that holds seq on, as many as limit allows. None means that the board shows
// by now that seq was trimmed or that the stream has ended.
//
// A trim drops blocks in the same transaction that moves the head. A reader may see that transaction before the board
// shows it, and also when its commit fails at the very end. So a reader that misses a block waits until the commit under
// way is settled, and asks the board again. Only then it is known whether the block is lost.
func (s *store) copyBlocks(seq uint64, limit streamlog.ReadLimit) ([]rawBlock, error) {
	blocks, err := s.viewBlocks(seq, limit)
	if err != nil || len(blocks) > 0 {
		return blocks, err
	}
	s.db.landing.Lock()
	defer s.db.landing.Unlock()
	if s.board.State().Head > seq || s.board.Err() != nil {
		return nil, nil
	}
	blocks, err = s.viewBlocks(seq, limit)
	switch {
	case err != nil || len(blocks) > 0:
		return blocks, err
	case s.db.failed != nil:
		return nil, s.db.failed
	}
	return nil, fmt.Errorf("%s: seq %d: no block holds it: %w", s.db.path, seq, errCorrupt)
}

// viewBlocks copies what copyBlocks returns into one piece of memory: what bbolt shows is a mapping that may go away with
// the transaction.
func (s *store) viewBlocks(seq uint64, limit streamlog.ReadLimit) (blocks []rawBlock, err error) {
	err = s.view(func(_, records *bbolt.Bucket) error {
		c := records.Cursor()
		k, v, err := seek(c, seq)
		size := 0
		if err != nil {
			return err
		}
		for next := seq; k != nil; k, v = c.Next() {
			if len(blocks) > 0 && (size+len(v) > limit.Bytes || next-seq >= uint64(limit.Records) || next >= limit.Below) {
				break
			}
			b := rawBlock{data: v}
			if b.first, b.count, err = blockHead(k, v); err != nil && len(blocks) == 0 {
				return err
			}
			if err != nil || b.first > next || b.first+b.count <= next || len(blocks) > 0 && b.first != next {
				break
			}
			next = b.first + b.count
			size += len(v)
			blocks = append(blocks, b)
		}
		all := make([]byte, 0, size)
		for i := range blocks {
			at := len(all)
			all = append(all, blocks[i].data...)
			blocks[i].data = all[at:len(all):len(all)]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return blocks, nil
}

// seek moves c to the block that holds seq, or to the first one behind it.
func seek(c *bbolt.Cursor, seq uint64) (k, v []byte, err error) {
	k, v = c.Seek(blockKey(seq))
	if k != nil {
		first, err := blockSeq(k)
		if err != nil || first == seq {
			return k, v, err
		}
	}
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	if k == nil { // all blocks lie behind it
		k, v = c.First()
	}
	return k, v, nil
}

// Since bisects over the latest times of the blocks, which never fall, and then looks at single records: the block found
// may owe its latest time to a record that was trimmed.
func (s *store) Since(t time.Time, head, tail uint64) (uint64, error) {
	lo, hi := head, tail
	err := s.view(func(_, records *bbolt.Bucket) error {
		c := records.Cursor()
		for lo < hi {
			k, v, err := seek(c, lo+(hi-lo)/2)
			if err != nil {
				return err
			}
			if k == nil {
				return nil // all trimmed since
			}
			first, n, err := blockHead(k, v)
			if err != nil {
				return err
			}
			if time.Unix(0, blockLatest(v)).Before(t) {
				lo = max(first+n, lo+1)
			} else {
				hi = max(min(first, hi-1), lo)
			}
		}
		return nil
	})
	for seq := min(lo, tail); err == nil && seq < tail; {
		var recs []backend.Record
		recs, err = s.Read(seq, streamlog.ReadLimit{Below: tail, Records: 1000, Bytes: 1 << 20})
		for i := range recs {
			if !recs[i].Time.Before(t) {
				return seq + uint64(i), nil
			}
		}
		if len(recs) == 0 { // trimmed since, or the stream has ended
			if ended := s.board.Err(); ended != nil {
				return tail, ended
			}
			seq = max(seq+1, s.board.State().Head)
		}
		seq += uint64(len(recs))
	}
	return tail, err
}

func (s *store) Meta(key string) (value []byte, err error) {
	err = s.view(func(b, _ *bbolt.Bucket) error {
		if m := b.Bucket(metaKey); m != nil {
			if v := m.Get([]byte(key)); v != nil {
				value = append([]byte{}, v...)
			}
		}
		return nil
	})
	return value, err
}

func blockKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func blockSeq(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, fmt.Errorf("a key of %d bytes among the blocks: %w", len(k), errCorrupt)
	}
	return binary.BigEndian.Uint64(k), nil
}

// blockHead returns what a block says of itself without being decoded: the seq of its first record and how many it holds.
func blockHead(k, v []byte) (first, n uint64, err error) {
	if first, err = blockSeq(k); err != nil {
		return 0, 0, err
	}
	if n, err = blockCount(v); err != nil {
		return 0, 0, fmt.Errorf("block at seq %d: %w", first, err)
	}
	return first, n, nil
}
