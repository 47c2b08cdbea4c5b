package committer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var bucket = []byte("bucket")

func open(t *testing.T, path string) *Committer {
	t.Helper()
	return openWith(t, Config{Path: path})
}

func openWith(t *testing.T, config Config) *Committer {
	t.Helper()
	config.Mode, config.LockWait = 0o600, time.Second
	c, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tempPath(t *testing.T) string { return filepath.Join(t.TempDir(), "log.db") }

// A step that tests queue.
type step struct {
	size  int
	apply func(tx *bbolt.Tx) error
	told  chan error
}

func (s *step) Size() int                { return s.size }
func (s *step) Apply(tx *bbolt.Tx) error { return s.apply(tx) }
func (s *step) Done(err error)           { s.told <- err }

func newStep(apply func(tx *bbolt.Tx) error) *step {
	return &step{apply: apply, told: make(chan error, 2)}
}

// putting makes a step that stores value under key.
func putting(key, value string) *step {
	return newStep(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
}

func do(c *Committer, s *step) error {
	c.Do(s)
	return <-s.told
}

// oneRound queues steps while no transaction can begin, so that the committer finds all of them together. What is queued
// first must not be alone in a round of its own, so it is a step that does not count.
func oneRound(t *testing.T, c *Committer, steps ...*step) {
	t.Helper()
	tx, err := c.File().Bolt().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	c.Do(newStep(func(*bbolt.Tx) error { return ErrUnchanged }))
	for c.Queued() > 0 { // until the step above is in a round that waits for the transaction
		runtime.Gosched()
	}
	for _, s := range steps {
		c.Do(s)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// stored returns the keys in the file, in their order.
func stored(t *testing.T, c *Committer) string {
	t.Helper()
	var keys []string
	err := c.File().View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucket); b != nil {
			return b.ForEach(func(k, _ []byte) error { keys = append(keys, string(k)); return nil })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(keys, " ")
}

func lastCommit(t *testing.T, c *Committer) int {
	t.Helper()
	id, err := c.txID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestQueuedStepsShareACommit(t *testing.T) {
	c := open(t, tempPath(t))
	before := lastCommit(t, c)
	var steps []*step
	for i := range 40 {
		steps = append(steps, putting(fmt.Sprintf("%02d", i), "x"))
	}
	oneRound(t, c, steps...)
	for _, s := range steps {
		if err := <-s.told; err != nil {
			t.Fatal(err)
		}
	}
	if n := lastCommit(t, c) - before; n != 1 {
		t.Errorf("%d commits for 40 steps, want 1", n)
	}
}

func TestRoundIsBounded(t *testing.T) {
	c := open(t, tempPath(t))
	before := lastCommit(t, c)
	var steps []*step
	for i := range 6 {
		s := putting(fmt.Sprint(i), "x")
		s.size = roundBytes / 2
		if i == 5 {
			s.size = 3 * roundBytes // alone, and yet committed
		}
		steps = append(steps, s)
	}
	oneRound(t, c, steps...)
	for _, s := range steps {
		if err := <-s.told; err != nil {
			t.Fatal(err)
		}
	}
	if n := lastCommit(t, c) - before; n != 4 {
		t.Errorf("%d commits, want 3 of two or one steps each and one of the large step", n)
	}
}

// Seal and Publish see each round once, Seal only when there is something to commit.
func TestRoundIsSealedAndPublished(t *testing.T) {
	var calls []string
	c := openWith(t, Config{
		Path:    tempPath(t),
		Seal:    func(*bbolt.Tx) error { calls = append(calls, "seal"); return nil },
		Publish: func(err error) { calls = append(calls, fmt.Sprint("publish ", err)) },
	})
	if err := do(c, putting("a", "x")); err != nil {
		t.Fatal(err)
	}
	before := lastCommit(t, c)
	if err := do(c, newStep(func(*bbolt.Tx) error { return ErrUnchanged })); err != nil {
		t.Fatal(err)
	}
	if n := lastCommit(t, c); n != before {
		t.Errorf("a round that has changed nothing was committed")
	}
	if got := strings.Join(calls, ", "); got != "seal, publish <nil>, publish <nil>" {
		t.Error(got)
	}
}

func TestStepIsPutOffToTheNextRound(t *testing.T) {
	c := open(t, tempPath(t))
	before := lastCommit(t, c)
	var seen []int // the transactions in which the step was applied
	later := putting("b", "x")
	put := later.apply
	later.apply = func(tx *bbolt.Tx) error {
		if seen = append(seen, tx.ID()); len(seen) == 1 {
			return ErrLater
		}
		return put(tx)
	}
	first, last := putting("a", "x"), putting("c", "x")
	oneRound(t, c, first, later, last)
	for _, s := range []*step{first, later, last} {
		if err := <-s.told; err != nil {
			t.Fatal(err)
		}
	}
	if got := stored(t, c); got != "a b c" || len(seen) != 2 || seen[1] != seen[0]+1 || lastCommit(t, c) != before+2 {
		t.Errorf("stored %q in %d commits; applied in %v", got, lastCommit(t, c)-before, seen)
	}
}

// A step that fails takes the whole round with it, and no step behind it is applied.
func TestFailedStepFailsItsRound(t *testing.T) {
	c := open(t, tempPath(t))
	cause := errors.New("injected")
	first, bad, last := putting("a", "x"), newStep(func(*bbolt.Tx) error { return cause }), putting("c", "x")
	oneRound(t, c, first, bad, last)
	for _, s := range []*step{first, bad, last} {
		if err := <-s.told; !errors.Is(err, ErrNotStored) || !errors.Is(err, cause) {
			t.Errorf("%v, want that nothing was stored, and the cause", err)
		}
	}
	if got := stored(t, c); got != "" {
		t.Errorf("stored %q", got)
	}
	if err := do(c, last); err != nil {
		t.Error(err)
	}
}

// A commit that failed before the meta page was written has stored nothing. The next one may succeed.
func TestFailedFirstSyncStoresNothing(t *testing.T) {
	c := open(t, tempPath(t))
	cause := errors.New("input/output error")
	fail := true
	c.CommitTx = func(tx *bbolt.Tx) error {
		if fail {
			return errors.Join(cause, tx.Rollback())
		}
		return tx.Commit()
	}
	if err := do(c, putting("a", "x")); !errors.Is(err, ErrNotStored) || !errors.Is(err, cause) {
		t.Fatalf("%v, want that nothing was stored, and the cause", err)
	}
	fail = false
	if err := do(c, putting("b", "x")); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, c); got != "b" {
		t.Errorf("stored %q", got)
	}
}

// A commit whose meta page was written and not synced is there after a crash, or not. It is the last one.
func TestFailedLastSyncEndsTheCommits(t *testing.T) {
	path := tempPath(t)
	var published []error
	c := openWith(t, Config{Path: path, Publish: func(err error) { published = append(published, err) }})
	cause := errors.New("input/output error")
	c.CommitTx = func(tx *bbolt.Tx) error { return errors.Join(cause, tx.Commit()) }
	if err := do(c, putting("a", "x")); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotStored) || !errors.Is(err, cause) {
		t.Fatalf("%v, want an unknown outcome, and the cause", err)
	}
	c.CommitTx = (*bbolt.Tx).Commit
	err := do(c, putting("b", "x"))
	if !errors.Is(err, ErrEnded) || errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotStored) || !errors.Is(err, cause) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v, want the end, with the cause and the path", err)
	}
	c.Between(func(ended error) {
		if !errors.Is(ended, ErrEnded) {
			t.Errorf("between: %v", ended)
		}
	})
	if len(published) != 2 || !errors.Is(published[0], ErrUnknown) {
		t.Errorf("published %v", published)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, open(t, path)); got != "a" {
		t.Errorf("after opening again: %q", got)
	}
}

func TestFullDiskStoresNothing(t *testing.T) {
	path := tempPath(t)
	c := open(t, path)
	if err := do(c, putting("a", "x")); err != nil {
		t.Fatal(err)
	}
	free := boltfiletest.FullDisk(t, path)
	large := strings.Repeat("x", 20<<20)
	for range 2 {
		if err := do(c, putting("b", large)); !errors.Is(err, ErrNotStored) {
			t.Fatalf("%v, want that nothing was stored", err)
		}
	}
	free()
	if got := stored(t, c); got != "a" {
		t.Errorf("stored %q", got)
	}
	if err := do(c, putting("b", large)); err != nil {
		t.Error(err)
	}
}

func TestFullFileStoresNothing(t *testing.T) {
	c := openWith(t, Config{Path: tempPath(t), FileBytes: 1 << 20})
	err := do(c, putting("a", strings.Repeat("x", 2<<20)))
	if !errors.Is(err, ErrNotStored) {
		t.Errorf("%v, want that nothing was stored", err)
	}
	if err := do(c, putting("b", "x")); err != nil {
		t.Error(err)
	}
}

func TestCutFileIsRefusedAtOpen(t *testing.T) {
	path := tempPath(t)
	c := open(t, path)
	if err := do(c, putting("a", strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	boltfiletest.Cuts(t, path, func(path string) error {
		c, err := Open(Config{Path: path, Mode: 0o600})
		if err == nil {
			c.Close()
		}
		return err
	})
}

func TestFileCutWhileInUseIsAnError(t *testing.T) {
	for _, pages := range []int{0, 2, 4} {
		t.Run(fmt.Sprint(pages, " pages"), func(t *testing.T) {
			path := tempPath(t)
			c := open(t, path)
			if err := do(c, putting("a", strings.Repeat("x", 1<<20))); err != nil {
				t.Fatal(err)
			}
			boltfiletest.Cut(t, path, int64(pages*os.Getpagesize()))
			for range 2 {
				if err := do(c, putting("b", "x")); !errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want damage that names the file", err)
				}
			}
		})
	}
}

// Each step is told once: before Close has returned, or at once when it comes later.
func TestCloseTellsEveryStep(t *testing.T) {
	c := open(t, tempPath(t))
	var wg sync.WaitGroup
	var steps [8]*step
	for i := range steps {
		steps[i] = putting(fmt.Sprint(i), "x")
		wg.Go(func() { c.Do(steps[i]) })
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, s := range steps {
		if err := <-s.told; err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if len(s.told) > 0 {
			t.Error("a step was told twice")
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// While many pages are free their list is not written, and the file opens all the same: closed or crashed.
func TestLargeFreelist(t *testing.T) {
	path := tempPath(t)
	c := open(t, path)
	c.listFree = 50
	large := string(bytes.Repeat([]byte("x"), 1<<20))
	for _, value := range []string{large, "", "y", "y"} { // the pages are free two commits after the one that leaves them
		if err := do(c, putting("a", value)); err != nil {
			t.Fatal(err)
		}
	}
	crashed := path + ".crashed"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crashed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !listOmitted(t, crashed) || listOmitted(t, path) {
		t.Fatal("want no list of free pages in a crashed file and one in a closed one")
	}
	for _, p := range []string{crashed, path} {
		c := open(t, p)
		if err := do(c, putting("b", "x")); err != nil || stored(t, c) != "a b" {
			t.Errorf("%s: %v, %q", p, err, stored(t, c))
		}
	}
}

// listOmitted reads from the newer of the two meta pages whether there is a list of free pages: page 2^64-1 is none.
func listOmitted(t *testing.T, path string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const freelist, txid = 48, 64 // where they are in a meta page, native byte order
	meta := data
	if page := os.Getpagesize(); binary.NativeEndian.Uint64(data[page+txid:]) > binary.NativeEndian.Uint64(data[txid:]) {
		meta = data[page:]
	}
	return binary.NativeEndian.Uint64(meta[freelist:]) == math.MaxUint64
}
