package committer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
)

var (
	// ErrNotStored says: nothing of the round is stored. The caller may safely try again.
	ErrNotStored = errors.New("nothing was stored")

	// ErrUnknown says: the changes of the round may be durable or not. A crash may keep or lose them.
	ErrUnknown = errors.New("the outcome of the commit is unknown")

	// ErrEnded says: an earlier commit had an unknown outcome, so the committer writes nothing more. Open the file
	// again.
	ErrEnded = errors.New("nothing more is written, open the file again")

	// ErrClosed says: Do was called after Stop or Close.
	ErrClosed = errors.New("the file is closed")
)

// Apply may return these errors. Every other error fails the round.
var (
	// ErrUnchanged says: the step has written nothing. Done is called as for every other step. If no step of a round
	// has written anything, the round is not committed.
	ErrUnchanged = errors.New("the step has changed nothing")

	// ErrLater ends the round in front of the step. The next round begins with the step, and calls Apply again. A step
	// may return ErrLater only if an earlier step of the same round has returned nil. Otherwise the next round would
	// begin in the same state, and the committer would repeat the step for ever.
	ErrLater = errors.New("the step belongs to the next round")
)

// A Step is one change of the file.
type Step interface {
	// Size is about how many bytes the step writes.
	Size() int

	// Apply makes the change. It runs on the committer's goroutine, and sees the changes of the earlier steps of the
	// round. It touches the file only through tx, and keeps nothing of tx. An error fails the whole round. A panic
	// counts as damage of the file, because bbolt panics when a page makes no sense.
	Apply(tx *bbolt.Tx) error

	// Done receives the outcome, once. No lock is held, and Done must not wait, because all other steps would wait too.
	// If the committer is closed, Do calls Done at once. Otherwise the committer's goroutine calls Done, after Apply or
	// instead of Apply.
	Done(err error)
}

// A Config says which file to open, and how.
type Config struct {
	Path      string
	Mode      os.FileMode   // of a file that Open creates
	FileBytes int           // how large the file may become; 0 means no limit
	LockWait  time.Duration // how long Open waits for another process to let go of the file

	// Seal, if not nil, is the last change of every round in which a step has changed something.
	Seal func(tx *bbolt.Tx) error

	// Publish, if not nil, is called once for each round, with the outcome, before the steps learn the outcome. Between
	// does not run at the same time.
	Publish func(err error)
}

// A Committer commits steps to one file. Any goroutine may call its methods.
//
// Lock order: publishing before mu.
type Committer struct {
	file   *boltfile.File
	config Config

	// The goroutine run removes steps from queue, commits them as one round, and then removes the steps that were
	// queued in the meantime. mu guards queue and closing.
	mu      sync.Mutex
	queue   []Step
	closing bool
	wake    chan struct{} // holds one token: queue or closing has changed
	stopped chan struct{} // closed when the goroutine run has ended

	// publishing is held from the beginning of a commit until Publish has returned. ended is the reason why there are
	// no more commits. Only run sets ended, and holds publishing while it does.
	publishing sync.Mutex
	ended      error

	// CommitTx commits a transaction. It is Tx.Commit, unless a test replaces it before the first Do.
	CommitTx func(*bbolt.Tx) error

	// Only run uses listFree.
	listFree int // freelistPages; a test may replace it

	closed sync.Once
}

// roundBytes bounds how many bytes a round writes, so that no step waits long for the commit of its round. Even a slow
// disk writes this amount in a fraction of a second. And when so many bytes share an fsync, the fsync costs next to
// nothing for each record.
const roundBytes = 16 << 20

// Open opens the file, and creates the file if it does not exist. It refuses a file that was cut short.
func Open(config Config) (*Committer, error) {
	options := bbolt.Options{
		Timeout: config.LockWait,
		MaxSize: config.FileBytes,

		// The map finds free pages in constant time. The default, an array, searches all free pages, and becomes slow
		// when many pages are free. Both keep the same pages in the file.
		FreelistType: bbolt.FreelistMapType,

		// Every commit writes the list of free pages. Otherwise an open after a crash would have to read the whole file
		// to find the free pages. While the list is large, the committer changes this setting: see freelistPages.
		NoFreelistSync: false,

		// NoSync stays off: without both fsyncs of a commit, an acknowledged record could be lost. NoGrowSync stays off
		// too: when the file has grown, its size must be durable before a page in the new part is used.
	}
	if runtime.GOOS != "windows" {
		// When the file outgrows its mapping, bbolt makes a new mapping. For this, bbolt waits for all readers, and
		// loads every page again. A large mapping avoids this, and uses only address space, no memory and no disk. On
		// Windows a large mapping would make the file itself large.
		options.InitialMmapSize = 256 << 20
	}
	file, err := boltfile.Open(config.Path, config.Mode, options)
	if err != nil {
		return nil, err
	}
	c := &Committer{
		file:     file,
		config:   config,
		wake:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		CommitTx: (*bbolt.Tx).Commit,
		listFree: freelistPages,
	}
	go c.run()
	return c, nil
}

// File returns the file, for reading. A direct write to the file is not part of any round.
func (c *Committer) File() *boltfile.File { return c.file }

// Do queues s behind all steps that were queued before. It does not wait.
func (c *Committer) Do(s Step) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		s.Done(fmt.Errorf("%s: %w", c.config.Path, ErrClosed))
		return
	}
	c.queue = append(c.queue, s)
	c.mu.Unlock()
	c.signal()
}

// Queued returns how many steps wait for their round.
func (c *Committer) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// Between runs f while no commit is under way. Then the file shows f exactly the changes whose outcome Publish has
// received. But if ended is not nil, the outcome of the last commit is unknown, and the file may show changes that a
// crash takes back.
func (c *Committer) Between(f func(ended error)) {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	f(c.ended)
}

// Stop commits all queued steps and ends the committer. The file stays open for reading. A later Do fails with
// ErrClosed.
func (c *Committer) Stop() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.signal()
	<-c.stopped
}

// Close stops the committer and closes the file. It waits for open transactions. A second Close returns nil.
func (c *Committer) Close() (err error) {
	c.Stop()
	c.closed.Do(func() {
		if err = c.file.Close(); err != nil {
			err = fmt.Errorf("close %s: %w", c.config.Path, err)
		}
	})
	return err
}

// signal wakes run. One token is enough, because run looks at the queue after each token.
func (c *Committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the one goroutine that writes to the file.
func (c *Committer) run() {
	defer close(c.stopped)
	for {
		steps, closing := c.next()
		switch {
		case len(steps) > 0:
			c.putBack(c.round(steps))
		case closing:
			c.saveFreelist()
			return
		default:
			<-c.wake
		}
	}
}

// next removes the steps of one round from the queue: as many as fit into roundBytes, and at least one.
func (c *Committer) next() (steps []Step, closing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.queue) && (n == 0 || size+c.queue[n].Size() <= roundBytes) {
		size += c.queue[n].Size()
		n++
	}
	steps = c.queue[:n:n]
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		// If the queue is empty, we free its array. Otherwise the array would keep finished steps in memory.
		c.queue = nil
	}
	return steps, c.closing
}

// putBack puts steps at the front of the queue, because they were queued before all steps that are in the queue now.
func (c *Committer) putBack(steps []Step) {
	if len(steps) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(steps[:len(steps):len(steps)], c.queue...)
}
