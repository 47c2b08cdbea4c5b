package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/committer"
)

// Bolt is a Storage in one bbolt file. An append is acknowledged when the data and the state of its producer are on the
// disk. Appends that wait at the same time share one commit. Bolt keeps some hundred bytes of memory for each stream.
//
// When the file is opened, the TTL of every stream begins again: reads renew a TTL, and reads are not written to the
// file.
type Bolt struct {
	*engine
	committer *committer.Committer
}

var _ Storage = (*Bolt)(nil)

// The buckets of the file. The key of a stream and a position have eight bytes each, big-endian, so that they sort as
// numbers.
var (
	bucketStreams   = []byte("streams")   // key of the stream → row
	bucketProducers = []byte("producers") // key of the stream, Producer-Id → epoch and seq, eight bytes each
	bucketData      = []byte("data")      // key of the stream → a bucket: position → piece
	bucketMeta      = []byte("meta")
	keyFormat       = []byte("format")
)

const boltFormat = "durablestreams/1"

// OpenBolt opens the file at path, or creates the file. If another process holds the file, OpenBolt waits up to 5
// seconds. OpenBolt refuses a file that was cut short, also an empty file. A damaged page fails the call that meets it.
// If the call is a change, all later changes fail too.
func OpenBolt(path string, opts ...StorageOption) (*Bolt, error) {
	e := &engine{options: storageOptionsOf(opts), names: map[string]*stream{}}
	c, err := committer.Open(committer.Config{
		Path:     path,
		Mode:     0o600,
		LockWait: 5 * time.Second,
		Seal:     func(*bbolt.Tx) error { return e.seal() },
		Publish:  e.publish,
	})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	// The committer needs the functions of the engine, and the engine needs a vault with the committer. No change can
	// come between the two lines, because nobody has the Bolt yet.
	e.vault = &boltVault{c}
	b := &Bolt{e, c}
	// The file is closed again, or its lock would keep every later OpenBolt out.
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("server: open %s: %w", path, err), c.Close())
	}
	return b, nil
}

// Close ends the waiting calls, lets the commit under way finish, and closes the file. A second Close returns nil.
func (b *Bolt) Close() error {
	b.stop()
	return b.committer.Close()
}

// A row is a stream as the file holds it.
type row struct {
	ID     string   `json:"id"`
	Name   []byte   `json:"name"` // any bytes; a JSON string would replace bytes that are not UTF-8
	Parent uint64   `json:"parent,omitempty"`
	Base   Position `json:"base,omitempty"`
	config
	state

	// The raw fields hold strings of clients that are not UTF-8, for the same reason. They are nil for valid strings.
	RawSource   []byte `json:"rawSource,omitempty"`
	RawSequence []byte `json:"rawSequence,omitempty"`
}

// rowOf returns the row of a stream as it will be after the round.
func rowOf(d *draft) *row {
	s := d.was
	r := &row{ID: s.id, Name: []byte(s.name), Base: s.base, config: s.config, state: d.will}
	if s.parent != nil {
		r.Parent = s.parent.key
	}
	if r.Fork != nil && !utf8.ValidString(r.Fork.Source) {
		r.RawSource = []byte(r.Fork.Source)
	}
	if !utf8.ValidString(r.Sequence) {
		r.RawSequence = []byte(r.Sequence)
	}
	// The times and the count of waiting readers are not part of a row: both begin again when the file is opened.
	return r
}

// load reads the streams, but not their data. Forks are linked to their sources after all streams are read.
func (b *Bolt) load() error {
	if err := b.committer.File().Update(prepare); err != nil {
		return err
	}
	// The producers are not loaded. There may be many more producers than streams, and an append looks its producer up
	// in the file.
	streams, parents := map[uint64]*stream{}, map[*stream]uint64{}
	err := b.committer.File().View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStreams).ForEach(func(k, v []byte) error {
			s, parent, err := parseRow(k, v)
			if err != nil {
				return err
			}
			streams[s.key] = s
			if parent != 0 {
				parents[s] = parent
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, key := range parents {
		// A source is older than its forks, so its key is smaller. A file with another order is damaged, and could
		// contain a cycle of sources.
		if s.parent = streams[key]; s.parent == nil || key >= s.key {
			return fmt.Errorf("stream %d is a fork of %d, which is not there", s.key, key)
		}
	}
	now := time.Now()
	for _, s := range streams {
		// Two streams of one name cannot come from publish. If we took one of the two, the data of the other would be
		// lost without a word.
		if b.names[s.name] != nil {
			return fmt.Errorf("streams %d and %d have one name", s.key, b.names[s.name].key)
		}
		s.touched = now
		b.names[s.name] = s
		// The sweeper starts with the first stream that can expire.
		b.watchLocked(s)
	}
	return nil
}

// prepare makes the buckets of a new file. A file of another format is refused before anything is written to the file. A later version
// of this server could otherwise destroy what an older version has stored, or the other way round.
func prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketStreams, bucketProducers, bucketData, bucketMeta} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	switch format := meta.Get(keyFormat); {
	case format == nil:
		return meta.Put(keyFormat, []byte(boltFormat))
	case string(format) != boltFormat:
		return fmt.Errorf("the file has format %q, not %q", format, boltFormat)
	}
	return nil
}

// parseRow reads one row, and refuses what no round can have written. A wrong row would otherwise fail much later, in
// the middle of a read, and nobody would look for the cause here.
func parseRow(k, v []byte) (s *stream, parent uint64, err error) {
	var r row
	if len(k) != 8 {
		return nil, 0, errors.New("a stream with a broken key")
	}
	if err := json.Unmarshal(v, &r); err != nil {
		return nil, 0, fmt.Errorf("stream %d: %w", binary.BigEndian.Uint64(k), err)
	}
	// The JSON may be whole and still be wrong. With places out of order, the arithmetic on lengths would go below
	// zero.
	if r.Base > r.Start || r.Start > r.Tail || r.Tail > maxPosition {
		return nil, 0, fmt.Errorf("stream %d: places out of order", binary.BigEndian.Uint64(k))
	}
	if r.RawSequence != nil {
		r.Sequence = string(r.RawSequence)
	}
	if r.RawSource != nil && r.Fork != nil {
		r.Fork.Source = string(r.RawSource)
	}
	return &stream{key: binary.BigEndian.Uint64(k), id: r.ID, name: string(r.Name), base: r.Base, config: r.config, state: r.state}, r.Parent, nil
}
