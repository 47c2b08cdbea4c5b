package histories

import (
	"path/filepath"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/boltstore"
)

// A record of more bytes is refused by Enqueue.
const recordBytes = 2000

// A world is what outlives producers and consumers: the stream and the store of checkpoints.
type world interface {
	// open returns the stream and the checkpoints. It is called again after close.
	open() (backend.Stream, checkpoint.Store)
	close()
	// pullable says that close may come while producers and consumers are at work.
	pullable() bool
}

type memoryWorld struct {
	stream *memory.Stream
	store  *checkpoint.Memory
}

func newMemoryWorld(h *history) world {
	d := h.dice
	return &memoryWorld{
		stream: memory.New(memory.RecordBytes(recordBytes), memory.InFlight(pick(d, 1, 2, 16)),
			memory.BatchRecords(pick(d, 3, 20, 1000))),
		store: checkpoint.NewMemory(),
	}
}

func (w *memoryWorld) open() (backend.Stream, checkpoint.Store) { return w.stream, w.store }
func (w *memoryWorld) close()                                   {}
func (w *memoryWorld) pullable() bool                           { return false }

type fileWorld struct {
	h        *history
	dir      string
	beside   bool // the checkpoints are in the file of the stream
	inFlight int
	db       *bolt.DB
}

func newFileWorld(h *history) world {
	return &fileWorld{h: h, dir: h.t.TempDir(), beside: chance(h.dice, 0.5), inFlight: pick(h.dice, 1, 4, 16)}
}

func (w *fileWorld) open() (backend.Stream, checkpoint.Store) {
	db, err := bolt.Open(filepath.Join(w.dir, "streams.db"))
	if err != nil {
		w.h.t.Fatalf("seed %d: %v", w.h.seed, err)
	}
	w.db = db
	stream := db.Stream("history", bolt.RecordBytes(recordBytes), bolt.InFlight(w.inFlight))
	if w.beside {
		return stream, boltstore.New(db.Bolt(), "checkpoints")
	}
	return stream, checkpoint.NewFile(filepath.Join(w.dir, "checkpoints"))
}

func (w *fileWorld) close() {
	if err := w.db.Close(); err != nil {
		w.h.errorf("close the file: %v", err)
	}
}

func (w *fileWorld) pullable() bool { return true }
