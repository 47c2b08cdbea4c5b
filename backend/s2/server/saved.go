package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// In the file, the catalog is one bucket. Each basin, stream, token and setting has an entry there, as JSON under the
// key "kind/name". The server works with the catalog in memory. Each change of the catalog is queued for the store
// while the lock of the catalog is held, so the file receives the changes in the order of memory. The answer to a
// change waits until the change is durable: see waitDurable.

// The fields of savedBasin and savedStream are names in the JSON of the file. A field that is renamed is lost at the
// next opening. A new field must be right when it is missing, because older files do not have it.
type savedBasin struct {
	Location             string
	CreatedAt, DeletedAt time.Time
	Config               basinConfig
	Request              string
}

type savedStream struct {
	Basin, Name          string
	ID                   uint64
	CreatedAt, DeletedAt time.Time
	Config               streamConfig
	Cipher               string
	Request              string
}

// putLocked queues v for storing under kind and key. s.mu is held. A nil v is stored as null, which marks a token as
// revoked. putLocked does not wait.
func (s *Server) putLocked(kind, key string, v any) {
	if s.store == nil {
		return
	}
	// v is encoded now, under the lock. The function below runs in the committer's goroutine, where v may already have
	// changed.
	b, err := json.Marshal(v)
	s.store.enqueue(0, func(tx *bbolt.Tx) error {
		if err != nil {
			return err
		}
		return tx.Bucket(catalogBucket).Put([]byte(kind+"/"+key), b)
	}, func(error) {})
}

// deleteLocked queues the removal of an entry. s.mu is held.
func (s *Server) deleteLocked(kind, key string) {
	if s.store == nil {
		return
	}
	s.store.enqueue(0, func(tx *bbolt.Tx) error {
		return tx.Bucket(catalogBucket).Delete([]byte(kind + "/" + key))
	}, func(error) {})
}

// waitDurable waits until all earlier changes are durable, also the changes of other requests: the answer to this
// request may show them, and a crash must not take back what a client has seen. In memory there is nothing to wait for.
// The wait is for the whole queue, and not only for the change of this request. The two hardly differ in time, because
// a commit takes everything that is queued.
func (s *Server) waitDurable() error {
	if s.store == nil {
		return nil
	}
	return s.store.sync()
}

// saveBasinLocked queues the entry of a basin. s.mu is held. A basin has its name as the key, because its name cannot be
// taken again before its entry is removed, and the queue keeps the order of the two.
func (s *Server) saveBasinLocked(b *basin) {
	s.putLocked("basin", b.name, savedBasin{b.location, b.createdAt, b.deletedAt, b.cfg, b.createRequest})
}

// saveStreamLocked queues the entry of a stream. s.mu is held. The function takes the lock of the stream. The key holds
// the id and not the name: the removal of a deleted stream must not touch the entry of a new stream with the same name.
func (s *Server) saveStreamLocked(st *stream) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s.putLocked("stream", fmt.Sprintf("%020d", st.id),
		savedStream{st.basin, st.name, st.id, st.createdAt, st.deletedAt, st.cfg, st.cipher, st.createRequest})
}

// forgetBasinLocked queues the removal of a basin and all its streams. s.mu is held. The basin goes first. If the
// server ends in the middle, the streams that are left have no basin, and restoreStream leaves them out.
func (s *Server) forgetBasinLocked(b *basin) {
	s.deleteLocked("basin", b.name)
	for _, st := range b.streams {
		s.forgetStreamLocked(st)
	}
}

// forgetStreamLocked queues the removal of a stream: its entry, its state and its records. s.mu is held.
func (s *Server) forgetStreamLocked(st *stream) {
	if s.store == nil {
		return
	}
	id := uint64Key(st.id)
	s.deleteLocked("stream", fmt.Sprintf("%020d", st.id))
	s.store.enqueue(0, func(tx *bbolt.Tx) error {
		// State and records go in one transaction. A state without records would show a stream that has lost its
		// records.
		if err := tx.Bucket(stateBucket).Delete(id); err != nil {
			return err
		}
		if all := tx.Bucket(chunksBucket); all.Bucket(id) != nil {
			return all.DeleteBucket(id)
		}
		return nil
	}, func(error) {})
}

// restore fills the catalog from the file when the server is made. Nobody else uses the server yet, and restore takes
// no lock. The keys are sorted, and "basin" sorts before "stream": every basin is restored before its streams. An
// unreadable entry fails the opening. Without the entry, the server would say that the stream does not exist, and a
// client would create the stream anew, empty.
func (s *Server) restore() error {
	return s.store.committer.File().View(func(tx *bbolt.Tx) error {
		return tx.Bucket(catalogBucket).ForEach(func(k, v []byte) error {
			kind, name, _ := strings.Cut(string(k), "/")
			if err := s.restoreEntry(tx, kind, name, v); err != nil {
				return fmt.Errorf("s2 server: restore %s: %w", k, err)
			}
			return nil
		})
	})
}

func (s *Server) restoreEntry(tx *bbolt.Tx, kind, name string, v []byte) error {
	switch kind {
	case "basin":
		var b savedBasin
		if err := json.Unmarshal(v, &b); err != nil {
			return err
		}
		s.catalog.basins[name] = &basin{
			name: name, location: b.Location, createdAt: b.CreatedAt, deletedAt: b.DeletedAt, cfg: b.Config, createRequest: b.Request,
			streams: map[string]*stream{}, meter: newMeter(),
		}
	case "location":
		return json.Unmarshal(v, &s.catalog.location)
	case "token":
		// A revoked token stays known, as nil. Otherwise a server that accepts every token would accept the revoked
		// token after a restart.
		if bytes.Equal(v, []byte("null")) {
			s.catalog.bySecret[name] = nil
			return nil
		}
		g := new(grant)
		if err := json.Unmarshal(v, g); err != nil {
			return err
		}
		s.catalog.tokens[g.ID], s.catalog.bySecret[name] = g, g
	case "stream":
		var saved savedStream
		if err := json.Unmarshal(v, &saved); err != nil {
			return err
		}
		return s.restoreStream(tx, &saved)
	}
	return nil
}

// restoreStream restores a stream, its state and its chunks, but not the data of the chunks. Only what was durable is
// in the file, so next and tail are the same. Links are not restored: there are no followers yet. The first new batch
// becomes the next link of the empty one that newStream has made.
func (s *Server) restoreStream(tx *bbolt.Tx, saved *savedStream) error {
	// The id counts also if the stream is left out below. Otherwise a new stream could get the same id, and find the old
	// records.
	s.catalog.streamID = max(s.catalog.streamID, saved.ID)
	b := s.catalog.basins[saved.Basin]
	if b == nil {
		return nil // the basin was purged, and the server ended before it removed the stream
	}
	st := newStream(b, saved.Name, saved.ID, saved.CreatedAt)
	st.deletedAt, st.cfg, st.cipher, st.createRequest = saved.DeletedAt, saved.Config, saved.Cipher, saved.Request
	// The deletion of a basin marks all its streams in memory, but stores only the entry of the basin.
	if st.deletedAt.IsZero() {
		st.deletedAt = b.deletedAt
	}
	b.streams[saved.Name] = st
	state := tx.Bucket(stateBucket).Get(uint64Key(st.id))
	// The stream has never stored a batch: its head and its tail are 0.
	if state == nil {
		return nil
	}
	var ss streamState
	if err := json.Unmarshal(state, &ss); err != nil {
		return err
	}
	// trimAt stays 0, a time in the past: a stored trim takes effect at once. Its delay has nearly always passed during
	// the restart; otherwise readers only see the trim a little earlier.
	st.fence, st.trimTo, st.head, st.next, st.tail, st.lastWrite = ss.Fence, ss.TrimTo, ss.Head, ss.Tail, ss.Tail, ss.LastWrite
	copy(st.key[:], ss.KeyHash)
	chunks := tx.Bucket(chunksBucket).Bucket(uint64Key(st.id))
	if chunks == nil {
		return nil
	}
	err := chunks.ForEach(func(k, v []byte) error {
		c, err := decodeChunk(k, v)
		if err != nil {
			return err
		}
		// A trim removes chunks at once, but the head in the stored state is as old as the last batch. The first chunk
		// that is left tells the real head.
		if len(st.chunks) == 0 {
			st.head = max(st.head, c.first)
		}
		st.chunks = append(st.chunks, c)
		st.bytes += int64(c.metered)
		return nil
	})
	if err == nil && len(st.chunks) == 0 {
		// A trim or the retention age has removed every record, and no chunk is left to tell the head. With the head in
		// the stored state, the stream would look as if it had records, and delete-on-empty would never remove the
		// stream.
		st.head = st.tail.SeqNum
	}
	return err
}
