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
	// ErrNotStored says that nothing of the round is stored, and that trying again is safe.
	ErrNotStored = errors.New("nothing was stored")

	// ErrUnknown says that the round may be stored or not: after a crash its changes are there or not.
	ErrUnknown = errors.New("the outcome of the commit is unknown")

	// ErrEnded says that an earlier commit had an unknown outcome, so nothing more is written. Open the file again.
	ErrEnded = errors.New("nothing more is written, open the file again")

	// ErrClosed says that the step came after Close.
	ErrClosed = errors.New("the file is closed")
)

// What a Step's Apply may return beside nil and an error that fails the round.
var (
	// ErrUnchanged says that the step has written nothing. Done is called as for every other step. A round in which no step
	// has written anything is not committed.
	ErrUnchanged = errors.New("the step has changed nothing")

	// ErrLater ends the round in front of the step. The next round begins with the step, and calls Apply again. A step may
	// return ErrLater only if an earlier step of the same round returned nil; otherwise the committer would not get on.
	ErrLater = errors.New("the step belongs to the next round")
)

// A Step is one change of the file.
type Step interface {
	// Size is about how many bytes the step writes.
	Size() int

	// Apply makes the change. It runs on the committer's goroutine and sees the changes of the earlier steps of the
	// round. It touches the file only through tx, and keeps nothing of tx. An error fails the whole round. A panic counts
	// as damage of the file, because bbolt panics when a page makes no sense.
	Apply(tx *bbolt.Tx) error

	// Done is told the outcome, once, with no lock held. It must not wait. Do calls it at once if the committer is
	// closed; otherwise the committer's goroutine calls it, after Apply or instead of it.
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

	// Publish, if not nil, is called once a round with its outcome, before the steps are told. Between does not run
	// meanwhile.
	Publish func(err error)
}

// A Committer commits steps to one file. Any goroutine may call its methods.
//
// Lock order: publishing before mu.
type Committer struct {
	file   *boltfile.File
	config Config

	// The goroutine run removes steps from queue, commits them as one round, and then removes the steps that were queued
	// meanwhile. mu guards queue and closing.
	mu      sync.Mutex
	queue   []Step
	closing bool
	wake    chan struct{} // holds one token: queue or closing has changed
	stopped chan struct{} // closed when run has returned

	// publishing is held from the beginning of a commit until Publish has returned. ended is why there are no more
	// commits; only run sets it, with publishing held.
	publishing sync.Mutex
	ended      error

	// CommitTx ends a transaction: Tx.Commit. A test may replace it before the first Do.
	CommitTx func(*bbolt.Tx) error

	// Only run uses listFree.
	listFree int // freelistPages; a test may replace it

	closed sync.Once
}

// roundBytes bounds how much one round writes, so that a step never waits for more than this. A slow disk needs a fraction
// of a second for it. An fsync that so many bytes share costs next to nothing per record.
const roundBytes = 16 << 20

// Open opens the file, and creates it if it does not exist. A file that was cut short is refused.
func Open(config Config) (*Committer, error) {
	options := bbolt.Options{
		Timeout: config.LockWait,
		MaxSize: config.FileBytes,

		// The map finds free pages in constant time. The default, an array, searches all free pages, which becomes slow
		// as soon as many pages are free. Both keep the same pages on disk.
		FreelistType: bbolt.FreelistMapType,

		// The list of free pages is written with every commit, so that an open after a crash need not read the whole
		// file to find them. While the list is large, the committer changes that: see freelistPages.
		NoFreelistSync: false,

		// NoSync stays off: both fsyncs of a commit are what an acknowledgement is made of. NoGrowSync stays off too: the
		// size of a file that has grown must be durable before a page in the new part is referred to.
	}
	if runtime.GOOS != "windows" {
		// When the file outgrows the mapping, bbolt makes a new mapping, which waits for all readers and loads every
		// page again. A large mapping uses address space, and neither memory nor disk. But on Windows the file would be
		// made that large.
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

// File returns the file, for reading. What is written to it directly does not take part in a round.
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

// Between runs f while no commit is under way. What the file shows to f is what Publish has seen the outcome of, unless
// ended is not nil: then the outcome of the last commit is unknown, and the file may show changes that a crash takes back.
func (c *Committer) Between(f func(ended error)) {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	f(c.ended)
}

// Stop commits what is queued and ends the committer. The file stays open for reading. A later Do fails with ErrClosed.
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

// signal wakes run. One token is enough, because run looks at the queue each time.
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
		// An empty queue gives its array back, which would otherwise keep finished steps in memory.
		c.queue = nil
	}
	return steps, c.closing
}

// putBack puts steps in front of the queue.
func (c *Committer) putBack(steps []Step) {
	if len(steps) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(steps[:len(steps):len(steps)], c.queue...)
}
