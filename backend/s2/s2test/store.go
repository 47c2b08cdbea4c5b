package s2test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
)

// A store keeps everything in one file. What it is given is queued under the locks of the caller and committed by one
// goroutine, so all that came meanwhile shares a commit and no lock is held across an fsync.
type store struct {
	file *boltfile.File
	done chan struct{}

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []write
	ending bool
	failed error // why nothing more is stored
}

// A write is one step of a commit and who wants to hear of it.
type write struct {
	do   func(*bbolt.Tx) error
	tell func(error)
}

var (
	catalogBucket = []byte("s2/catalog")
	stateBucket   = []byte("s2/state")
	chunksBucket  = []byte("s2/chunks") // one bucket a stream, by id
)

func openStore(path string) (*store, error) {
	file, err := boltfile.Open(path, 0o600, bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("s2test: %w", err)
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{catalogBucket, stateBucket, chunksBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("s2test: open %s: %w", path, err), file.Close())
	}
	st := &store{file: file, done: make(chan struct{})}
	st.wake = sync.NewCond(&st.mu)
	go st.run()
	return st, nil
}

func (st *store) run() {
	defer close(st.done)
	for {
		st.mu.Lock()
		for len(st.queue) == 0 && !st.ending {
			st.wake.Wait()
		}
		queue, failed := st.queue, st.failed
		st.queue = nil
		st.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		if failed == nil {
			failed = st.file.Update(func(tx *bbolt.Tx) error {
				for _, w := range queue {
					if err := w.do(tx); err != nil {
						return err
					}
				}
				return nil
			})
			if failed != nil {
				// What is behind a batch that failed must not be stored: it has been given its place.
				failed = fmt.Errorf("s2test: store: %w", failed)
				st.mu.Lock()
				st.failed = failed
				st.mu.Unlock()
			}
		}
		for _, w := range queue {
			w.tell(failed)
		}
	}
}

// enqueue commits do behind all that came before. tell must not wait; it is called without the store's lock.
func (st *store) enqueue(do func(*bbolt.Tx) error, tell func(error)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.queue = append(st.queue, write{do, tell})
	st.wake.Signal()
}

// sync waits until all that was queued is durable.
func (st *store) sync() error {
	done := make(chan error, 1)
	st.enqueue(func(*bbolt.Tx) error { return nil }, func(err error) { done <- err })
	return <-done
}

func (st *store) close() error {
	st.mu.Lock()
	st.ending = true
	st.wake.Signal()
	st.mu.Unlock()
	<-st.done
	return st.file.Close()
}

func uint64Key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// streamState is what batches change besides the records. It is stored with them.
type streamState struct {
	Fence     string    `json:"fence"`
	TrimTo    uint64    `json:"trim_to"`
	Head      uint64    `json:"head"`
	Tail      position  `json:"tail"`
	LastWrite time.Time `json:"last_write"`
	KeyHash   []byte    `json:"key_hash"`
}

// append stores c and the state that the stream has with it. The lock of the stream is held.
func (st *store) append(s *stream, c chunk, tell func(error)) {
	state, err := json.Marshal(streamState{s.fence, s.trimTo, s.head, s.next, s.lastWrite, s.keyHash[:]})
	id := uint64Key(s.id)
	st.enqueue(func(tx *bbolt.Tx) error {
		if err != nil {
			return err
		}
		if err := tx.Bucket(stateBucket).Put(id, state); err != nil {
			return err
		}
		b, err := tx.Bucket(chunksBucket).CreateBucketIfNotExists(id)
		if err != nil {
			return err
		}
		return b.Put(uint64Key(c.first), c.encode())
	}, tell)
}

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

// decodeChunk reads all but the data.
func decodeChunk(k, v []byte) (chunk, error) {
	if len(k) != 8 || len(v) < chunkHead {
		return chunk{}, fmt.Errorf("s2test: store: damaged batch %x", k)
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

// load reads the data of c, unless it is there. A chunk removed meanwhile has none.
func (s *Server) load(st *stream, c *chunk) error {
	if c.data != nil || s.store == nil {
		return nil
	}
	return s.store.file.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(chunksBucket).Bucket(uint64Key(st.id))
		if b == nil {
			return streamDeleting()
		}
		v := b.Get(uint64Key(c.first))
		if len(v) >= chunkHead {
			c.data = append([]byte(nil), v[chunkHead:]...)
		}
		return nil
	})
}

// trim removes the chunks that end at or below to.
func (st *store) trim(s *stream, to uint64) {
	id := uint64Key(s.id)
	st.enqueue(func(tx *bbolt.Tx) error {
		b := tx.Bucket(chunksBucket).Bucket(id)
		if b == nil {
			return nil
		}
		cur := b.Cursor()
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
