package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/committer"
)

// A store keeps everything in one file. The server queues changes at the store under the locks of the server and of
// streams, and the committer makes many changes durable in one commit. Therefore no lock is held while the disk works.
//
// The order of the queue is the order of the changes in memory, because every change is queued before its lock is
// released. After a crash the file holds the state of some earlier moment, and never a later change without an earlier
// change.
//
// One file and one committer serve all streams. A file for each stream would need a sync for each stream that is
// written, and a sync is what costs time. So the more streams and clients are at work, the more batches share a sync.
type store struct {
	committer *committer.Committer

	// failed is the error of the first round that failed. From then on the store refuses every change, until the file
	// is opened again. The server gives a batch its place before the batch is stored. If one batch failed and a later
	// batch was stored, the stream would have a hole. Only the goroutine of the committer uses failed, so failed needs
	// no lock.
	failed error
}

// A write is a step of the committer: a change, and the function to call when the change is durable or has failed.
type write struct {
	store *store
	size  int // about how many bytes do writes
	do    func(*bbolt.Tx) error
	tell  func(error)
}

// Size implements [committer.Step].
func (w *write) Size() int { return w.size }

// Apply implements [committer.Step]. After a failure Apply refuses every later change, because the queue may hold
// batches with places behind the failed batch.
func (w *write) Apply(tx *bbolt.Tx) error {
	if w.store.failed != nil {
		return w.store.failed
	}
	return w.do(tx)
}

// Done implements [committer.Step]. Done remembers the first failure, and fails every later change with the first
// error, because only the first error names the cause.
func (w *write) Done(err error) {
	switch {
	// After ErrClosed, Done may run in the goroutine of the caller, and must not touch failed here. A closed committer
	// stores nothing more anyway, and nothing needs protection.
	case err == nil || errors.Is(err, committer.ErrClosed):
	case w.store.failed == nil:
		err = fmt.Errorf("s2 server: a write to the file has failed, and nothing more is stored until the server is closed and the file is opened again: %w", err)
		w.store.failed = err
	default:
		err = w.store.failed
	}
	w.tell(err)
}

var (
	catalogBucket = []byte("s2/catalog")
	stateBucket   = []byte("s2/state")
	chunksBucket  = []byte("s2/chunks") // holds one bucket for each stream, named by the id of the stream
)

// openStore opens the file, or makes it. Mode 0600: the file holds the records, and the rights of the access tokens.
// LockWait is a second, because two processes on one file are a mistake of the operator and no reason to wait, while a
// server that was ended a moment ago may still hold the lock. The buckets are made now, so that no change has to ask
// for them.
func openStore(path string) (*store, error) {
	c, err := committer.Open(committer.Config{Path: path, Mode: 0o600, LockWait: time.Second})
	if err != nil {
		return nil, fmt.Errorf("s2 server: %w", err)
	}
	// A direct write is right here: nothing is queued yet, so there is no order to keep.
	err = c.File().Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{catalogBucket, stateBucket, chunksBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("s2 server: open %s: %w", path, err), c.Close())
	}
	return &store{committer: c}, nil
}

// enqueue queues do behind all earlier changes. When the change is durable or has failed, the committer calls tell,
// which must not wait. do runs later, in another goroutine, so do must not use what changes meanwhile. size is about
// how many bytes do writes.
func (st *store) enqueue(size int, do func(*bbolt.Tx) error, tell func(error)) {
	st.committer.Do(&write{st, size, do, tell})
}

// sync waits until all earlier changes are durable. sync returns an error if the store has failed. A failed store fails
// this change too, so a caller never hears of success behind a failure.
func (st *store) sync() error {
	// The channel has room for the outcome, because tell must not wait, and the committer calls tell.
	done := make(chan error, 1)
	// The empty change stands behind all earlier changes in the queue, so its outcome comes when theirs are decided.
	st.enqueue(0, func(*bbolt.Tx) error { return committer.ErrUnchanged }, func(err error) { done <- err })
	return <-done
}

func (st *store) close() error { return st.committer.Close() }

// uint64Key makes a key. The bytes are big-endian, so that the order of the keys in the file is the order of the numbers:
// restore and trim go through the chunks of a stream in this order.
func uint64Key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// streamState is the part of a stream that batches change besides the records. State and records are stored in the same
// transaction. Stored apart, a crash between the two could lose a fence, or bring back an old fence.
type streamState struct {
	Fence     string    `json:"fence"`
	TrimTo    uint64    `json:"trim_to"`
	Head      uint64    `json:"head"`
	Tail      position  `json:"tail"`
	LastWrite time.Time `json:"last_write"`
	KeyHash   []byte    `json:"key_hash"`
}

// append queues c for storing, together with the state of the stream behind c. s.mu is held: the queue has the order of
// the log, and the state belongs to c.
func (st *store) append(s *stream, c chunk, tell func(error)) {
	// The state is written down now, under s.mu. The function below runs later, when the stream may have moved on: a
	// state read then would belong to a later batch, and that batch may never become durable.
	state, err := json.Marshal(streamState{s.fence, s.trimTo, s.head, s.next, s.lastWrite, s.key[:]})
	id := uint64Key(s.id)
	st.enqueue(len(c.data), func(tx *bbolt.Tx) error {
		if err != nil {
			return err
		}
		// Put may be called once for each batch of the round, and only the last state counts. The pages are written
		// once, at the commit.
		if err := tx.Bucket(stateBucket).Put(id, state); err != nil {
			return err
		}
		// The first batch of a stream makes the bucket of the stream. A stream without records has none.
		b, err := tx.Bucket(chunksBucket).CreateBucketIfNotExists(id)
		if err != nil {
			return err
		}
		return b.Put(uint64Key(c.first), c.encode())
	}, tell)
}

// A stored chunk is a head and the data. The head holds the facts that a server needs at its start: with them, restore
// reads the head of each chunk and no record, and a start takes as long as there are chunks and not bytes. The key of a
// chunk is its first seq, so the head need not repeat it.
const chunkHead = 4 + 4 + 8 + 8 + 8

func (c *chunk) encode() []byte {
	b := make([]byte, 0, chunkHead+len(c.data))
	b = binary.BigEndian.AppendUint32(b, uint32(c.records))
	b = binary.BigEndian.AppendUint32(b, uint32(c.metered))
	b = binary.BigEndian.AppendUint64(b, c.firstTS)
	b = binary.BigEndian.AppendUint64(b, c.lastTS)
	b = binary.BigEndian.AppendUint64(b, uint64(c.arrived))
	return append(b, c.data...)
}

// decodeChunk reads everything of a stored chunk except the data. load reads the data when a reader asks for it.
func decodeChunk(k, v []byte) (chunk, error) {
	// A shorter entry is damage, and not an old form: the form has never changed. Passing over it would leave a hole in
	// the stream, and readers take a hole for trimmed records.
	if len(k) != 8 || len(v) < chunkHead {
		return chunk{}, fmt.Errorf("s2 server: store: the batch at %x is damaged: restore the file from a copy", k)
	}
	return chunk{
		first:   binary.BigEndian.Uint64(k),
		records: int(binary.BigEndian.Uint32(v)),
		metered: int(binary.BigEndian.Uint32(v[4:])),
		firstTS: binary.BigEndian.Uint64(v[8:]),
		lastTS:  binary.BigEndian.Uint64(v[16:]),
		arrived: int64(binary.BigEndian.Uint64(v[24:])),
	}, nil
}

// load reads the data of c from the file, unless c has its data. If the chunk was removed meanwhile, c.data stays nil.
func (s *Server) load(st *stream, c *chunk) error {
	if c.data != nil || s.store == nil {
		return nil
	}
	// bbolt shows a transaction the last commit. The batch is in this commit, because only durable batches are in the
	// log.
	return s.store.committer.File().View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(chunksBucket).Bucket(uint64Key(st.id))
		if b == nil {
			return streamDeleting(st.basin, st.name)
		}
		v := b.Get(uint64Key(c.first))
		// A missing chunk is no error. A trim may have removed it since the look at the log, and the reader then goes
		// on behind it: see take.
		if len(v) >= chunkHead {
			c.data = append([]byte(nil), v[chunkHead:]...) // a copy: the memory of bbolt is valid only within the transaction
		}
		return nil
	})
}

// trim queues the removal of the chunks whose records are all below to. The state of the stream holds the head, but is
// stored only with the next batch. After a restart before then, the first chunk in the file tells the head.
//
// Nobody waits for the removal, and nobody is told of its failure: a chunk that is still there after a restart is
// removed by the next sweep, and a failed store says so at the next append. Only whole chunks are removed. A chunk with
// records on both sides of to stays, and after a restart the trim point in the state hides its first records again.
func (st *store) trim(s *stream, to uint64) {
	id := uint64Key(s.id)
	st.enqueue(0, func(tx *bbolt.Tx) error {
		b := tx.Bucket(chunksBucket).Bucket(id)
		if b == nil {
			return committer.ErrUnchanged
		}
		cur := b.Cursor()
		// Delete may move the cursor past an entry. Every turn looks at the first entry again.
		for k, v := cur.First(); k != nil; k, v = cur.First() {
			c, err := decodeChunk(k, v)
			if err != nil {
				return err
			}
			if c.end() > to {
				return nil
			}
			if err := cur.Delete(); err != nil {
				return err
			}
		}
		return nil
	}, func(error) {})
}
