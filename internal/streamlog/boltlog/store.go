package boltlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
	"github.com/headrace/headrace/internal/streamlog"
)

// A stream is one top-level bucket. The bucket holds the key "state" and a bucket of blocks. There is only one level of
// buckets above the blocks, because each level costs one more page in every commit.
const bucketPrefix = "headrace/stream/"

var (
	stateKey   = []byte("state")
	recordsKey = []byte("records")
)

// A store is one stream in the file. streamlog uses only its Board and the methods of streamlog.Store.
type store struct {
	db     *DB
	name   string
	bucket []byte
	board  *streamlog.Board

	roundState // used only by the committer, and by load
}

// newStore reads the state of a stream. If the state or the name is invalid, the board ends with the error, so that
// everybody who opens the stream gets the error. An error of newStore itself would reach only the first caller.
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

// load reads the state and checks that the last block ends at the tail.
func (s *store) load() error {
	return s.look(func(b, records *bbolt.Bucket) (err error) {
		if s.durable, err = decodeState(b.Get(stateKey)); err != nil {
			return err
		}
		// The same transaction writes the state and the blocks. If they do not agree, something else has changed the
		// file. Appends behind a wrong tail would write over records.
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

// view runs f in a read transaction, unless the stream has ended. After the deletion of a stream, a new stream may use
// its name in the file. The board of the deleted stream ends before the new stream is stored. So we look at the board
// after the read: if it has not ended, f has seen the right stream.
func (s *store) view(f func(b, records *bbolt.Bucket) error) error {
	if err := s.look(f); err != nil {
		return err
	}
	return s.board.Err()
}

// look runs f in a read transaction, if a stream with this name exists. f must be short: while the transaction is open,
// bbolt cannot use free pages again, and cannot map a file that has grown.
func (s *store) look(f func(b, records *bbolt.Bucket) error) error {
	err := s.db.committer.File().View(func(tx *bbolt.Tx) error {
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
	// The records are lent only until Commit returns. The blocks hold a copy.
	w.Records = nil
	s.db.committer.Do(o)
}

func (s *store) Read(seq uint64, limit streamlog.ReadLimit) (recs []backend.Record, free func(), err error) {
	// seq was trimmed. Its block may still be in the file, because a sweep takes several rounds.
	if s.board.State().Head > seq {
		return nil, nil, nil
	}
	raw, err := s.copyBlocks(seq, limit)
	if err != nil || len(raw) == 0 {
		return nil, nil, err
	}
	count := uint64(0)
	for i := range raw {
		count += raw[i].count
	}
	// The capacity comes from counts that no checksum has confirmed yet, so room bounds it: a damaged count must not
	// take much memory.
	room := int(min(uint64(limit.Records), limit.Below-seq))
	out := records.Slice(int(min(uint64(room), count)))
	for i := range raw {
		// decode may append some records of a corrupt block before it fails. whole is the length without these records.
		whole := len(out)
		// decode checks the checksum. decode runs outside of the transaction, because a transaction must be short.
		out, err = decode(out, raw[i].data, raw[i].first, seq, room-len(out))
		if err != nil && whole == 0 {
			return nil, nil, fmt.Errorf("%s: block at seq %d: %w", s.db.path, raw[i].first, err)
		}
		// We return the records before the corrupt block first. The next Read returns the error.
		if err != nil {
			clear(out[whole:]) // whoever gets the slice after Free finds zero records behind its end
			out = out[:whole]
			break
		}
		if len(out) == room {
			break
		}
	}
	// The present incarnation is right for every record. A stream that is older than incarnations gets an incarnation
	// later, and its bare offsets stay valid.
	streamlog.SetOffsets(out, seq, s.board.State().Incarnation)
	return out, records.Free(out), nil
}

// A rawBlock is a block before decoding.
type rawBlock struct {
	first, count uint64
	data         []byte
}

// copyBlocks returns the blocks from the block with seq on, as many as limit allows. If the board shows meanwhile that
// seq was trimmed or the stream has ended, copyBlocks returns no blocks.
//
// A trim drops blocks in the same transaction that moves the head. A reader may see this transaction before the board
// shows the new head, even if the commit fails at the very end. So if a block is missing, we wait until the outcome of
// the commit is published, and look at the board again. Only then do we know whether the block is lost.
func (s *store) copyBlocks(seq uint64, limit streamlog.ReadLimit) ([]rawBlock, error) {
	blocks, err := s.viewBlocks(seq, limit)
	if err != nil || len(blocks) > 0 {
		return blocks, err
	}
	s.db.committer.Between(func(ended error) {
		if s.board.State().Head > seq || s.board.Err() != nil {
			return
		}
		blocks, err = s.viewBlocks(seq, limit)
		switch {
		case err != nil || len(blocks) > 0:
		case ended != nil:
			err = ended
		default:
			err = fmt.Errorf("%s: seq %d: its block is missing: %w", s.db.path, seq, errCorrupt)
		}
	})
	return blocks, err
}

// viewBlocks reads the blocks for copyBlocks, and copies them into one piece of memory. Without the copy, the blocks
// would point into the mapping of the file, and the mapping may disappear at the end of the transaction.
func (s *store) viewBlocks(seq uint64, limit streamlog.ReadLimit) (blocks []rawBlock, err error) {
	err = s.view(func(_, records *bbolt.Bucket) error {
		blocks, err = mappedBlocks(records.Cursor(), seq, limit)
		copyData(blocks)
		return err
	})
	return blocks, err
}

// copyData replaces the data of the blocks by copies in one piece of memory.
func copyData(blocks []rawBlock) {
	parts := make([][]byte, len(blocks))
	for i := range blocks {
		parts[i] = blocks[i].data
	}
	all := bytes.Join(parts, nil) // does not clear the memory before it is filled, unlike make
	for i := range blocks {
		n := len(blocks[i].data)
		blocks[i].data, all = all[:n:n], all[n:]
	}
}

// mappedBlocks returns the blocks from the block with seq on, without a gap. Their data is in the mapping of the file. A
// corrupt block ends the list. If the first block is corrupt, mappedBlocks returns an error.
func mappedBlocks(c *bbolt.Cursor, seq uint64, limit streamlog.ReadLimit) (blocks []rawBlock, err error) {
	k, v, err := seek(c, seq)
	if err != nil {
		return nil, err
	}
	size := 0
	for next := seq; k != nil; k, v = c.Next() {
		b := rawBlock{data: v}
		if b.first, b.count, err = blockHead(k, v); err != nil && len(blocks) == 0 {
			return nil, err
		}
		// The first block is returned even if it is too large. Otherwise a reader would never get past a large record. A later
		// block is returned only if all its records are: otherwise the next Read would copy and check the block again.
		if len(blocks) > 0 && (size+len(v) > limit.Bytes || next+b.count-seq > uint64(limit.Records) || next >= limit.Below) {
			break
		}
		// The list ends at a hole, at a block that does not reach next, and at an overlap. The next Read begins there
		// and reports the error, after the good records.
		if err != nil || b.first > next || b.first+b.count <= next || len(blocks) > 0 && b.first != next {
			break
		}
		next = b.first + b.count
		size += len(v)
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// seek moves c to the block with seq. If there is no such block, it moves c to the first block behind seq, or to the
// block before. The key of a block is the seq of its first record, so the block with seq has the greatest key that is
// not above seq.
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
	// All blocks are behind seq.
	if k == nil {
		k, v = c.First()
	}
	return k, v, nil
}

// Since first searches by bisection over the latest times of the blocks, because these never fall. Then it looks at
// single records, because the latest time of the found block may belong to a trimmed record.
func (s *store) Since(t time.Time, head, tail uint64) (uint64, error) {
	lo, hi := head, tail
	err := s.view(func(_, records *bbolt.Bucket) error {
		c := records.Cursor()
		// At the end of the search, lo is not behind the first record with a time of t or later. Each turn of the loop
		// makes the range smaller by at least one record, so a damaged block cannot keep the loop going.
		for lo < hi {
			k, v, err := seek(c, lo+(hi-lo)/2)
			if err != nil {
				return err
			}
			if k == nil {
				// All records were trimmed in the meantime.
				return nil
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
		recs, _, err = s.Read(seq, streamlog.ReadLimit{Below: tail, Records: 1000, Bytes: 1 << 20})
		for i := range recs {
			if !recs[i].Time.Before(t) {
				return seq + uint64(i), nil
			}
		}
		// The record was trimmed in the meantime, or the stream has ended.
		if len(recs) == 0 {
			if ended := s.board.Err(); ended != nil {
				return tail, ended
			}
			seq = max(seq+1, s.board.State().Head)
		}
		seq += uint64(len(recs))
	}
	return tail, err
}

func blockKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func blockSeq(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, fmt.Errorf("a key of %d bytes among the blocks: %w", len(k), errCorrupt)
	}
	return binary.BigEndian.Uint64(k), nil
}

// blockHead reads only the head of a block. It returns the seq of the first record and the number of records.
func blockHead(k, v []byte) (first, n uint64, err error) {
	if first, err = blockSeq(k); err != nil {
		return 0, 0, err
	}
	if n, err = blockCount(v); err != nil {
		return 0, 0, fmt.Errorf("block at seq %d: %w", first, err)
	}
	return first, n, nil
}
