package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

var bucket = []byte("bucket")

func open(path string) (*boltfile.File, error) {
	return boltfile.Open(path, 0o600, bbolt.Options{Timeout: 50 * time.Millisecond})
}

// filled returns an open file of some hundred pages.
func filled(t *testing.T) (f *boltfile.File, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	f, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := put(f, i*500); err != nil {
			t.Fatal(err)
		}
	}
	return f, path
}

func put(f *boltfile.File, from int) error {
	return f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		for i := from; i < from+500 && err == nil; i++ {
			err = b.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 500))
		}
		return err
	})
}

// walk reads all there is, at most two million bytes: damage may lead in circles.
func walk(f *boltfile.File) error {
	return f.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		sum, c := 0, b.Cursor()
		for k, v := c.First(); k != nil && sum < 2_000_000; k, v = c.Next() {
			for _, x := range v {
				sum += int(x)
			}
			sum += len(v)
		}
		return nil
	})
}

func TestCutFileIsRefused(t *testing.T) {
	f, path := filled(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	boltfiletest.Cuts(t, path, func(path string) error {
		f, err := open(path)
		if err == nil {
			f.Close()
		}
		return err
	})
	if f, err := open(path); err != nil {
		t.Errorf("the whole file: %v", err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// Readers and writers of a file that is cut under them get an error, and it can be closed.
func TestFileCutWhileInUseIsAnError(t *testing.T) {
	for _, pages := range []int64{0, 1, 2, 3, 30} {
		t.Run(fmt.Sprint(pages, " pages"), func(t *testing.T) {
			f, path := filled(t)
			boltfiletest.Cut(t, path, pages*int64(os.Getpagesize()))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { wantDamage(t, path, walk(f)) })
			}
			wg.Wait()
			wantDamage(t, path, put(f, 0))
			wantDamage(t, path, put(f, 0)) // and from then on
			wantDamage(t, path, walk(f))
			_ = f.Close()
			_, err := open(path) // which would say that the file is in use, if it were
			wantDamage(t, path, err)
		})
	}
}

// bbolt opens the file of a backup in the same way as the database. The File must not take the backup for its own file.
func TestBackupIsNotTakenForTheFile(t *testing.T) {
	f, path := filled(t)
	backup := path + ".backup"
	if err := f.Bolt().View(func(tx *bbolt.Tx) error { return tx.CopyFile(backup, 0o600) }); err != nil {
		t.Fatal(err)
	}
	boltfiletest.Cut(t, path, int64(os.Getpagesize()))
	wantDamage(t, path, walk(f))
	_ = f.Close()
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = open(path); err != nil { // the file would be in use if Close had closed the backup
		t.Fatal(err)
	}
	if err := errors.Join(walk(f), f.Close()); err != nil {
		t.Error(err)
	}
}

func wantDamage(t *testing.T, path string, err error) {
	t.Helper()
	if !errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want damage that names the file", err)
	}
}

// Whatever the pages say, the process lives on and every call comes back.
func TestDamagedPageIsAnError(t *testing.T) {
	f, whole := filled(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	met := 0
	for seed := range uint64(15) {
		path := fmt.Sprint(whole, ".", seed)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err = open(path); err != nil {
			t.Fatal(err)
		}
		flip(t, path, seed)
		for _, err := range []error{walk(f), put(f, 100), walk(f), put(f, 3000), f.Close()} {
			if errors.Is(err, boltfile.ErrDamaged) {
				met++
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Logf("seed %d: %v", seed, err) // bbolt's own words
			}
		}
	}
	if met == 0 {
		t.Fatal("no damage was met")
	}
	t.Logf("damage met %d times", met)
}

// flip changes bytes in the pages of the file at path, but for the first two, while it is in use: in every page one of the
// page's own header or of the list of what is on it. The same seed changes the same bytes.
func flip(t *testing.T, path string, seed uint64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	page := int64(os.Getpagesize())
	for at := 2 * page; at < info.Size(); at += page {
		var b [1]byte
		place := at + random.Int64N(44)
		if place >= at+12 { // a wrong count of overflow pages at 12 to 15 is not caught: bbolt walks over all of them
			place += 4
		}
		if _, err := f.ReadAt(b[:], place); err != nil {
			t.Fatal(err)
		}
		b[0] ^= byte(1 + random.IntN(255))
		if _, err := f.WriteAt(b[:], place); err != nil {
			t.Fatal(err)
		}
	}
}

// Damage that a writer meets ends all writing; what a reader meets does not.
func TestDamageEndsWriting(t *testing.T) {
	f, path := filled(t)
	defer f.Close()
	bad := func(*bbolt.Tx) error { panic("page 7: invalid page type") }
	wantDamage(t, path, f.View(bad))
	if err := put(f, 0); err != nil {
		t.Fatal(err)
	}
	wantDamage(t, path, f.Update(bad))
	wantDamage(t, path, put(f, 0))
	if err := walk(f); err != nil {
		t.Fatal(err)
	}
}

func TestDamageSaysWhereItWasMet(t *testing.T) {
	f, _ := filled(t)
	defer f.Close()
	var nowhere *bbolt.Tx
	err := f.View(func(*bbolt.Tx) error { return nowhere.Bucket(nil).Put(nil, nil) })
	if err == nil || !strings.Contains(err.Error(), "bbolt.(*Tx).Bucket") {
		t.Errorf("%v does not name the function that panicked", err)
	}
}

// A new file appears whole, by the name given and no other.
func TestNewFileAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new.db")
	opened := make(chan *boltfile.File, 8)
	var wg sync.WaitGroup
	for range cap(opened) {
		wg.Go(func() {
			f, err := open(path)
			switch {
			case err == nil:
				opened <- f
			case !errors.Is(err, boltfile.ErrInUse):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(opened) != 1 {
		t.Fatalf("%d have it open", len(opened))
	}
	if err := (<-opened).Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := open(filepath.Join(dir, "none", "new.db")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join("none", "new.db")) {
		t.Errorf("without its directory: %v", err)
	}
}

func TestErrorOfOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(dir, "held")
	f, err := boltfile.Open(held, 0o600, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "missing", "a.db"), "make the directory first"},
		{"", "the path is empty"},
		{text, "not a file of bbolt"},
		{held, "in use: only one process at a time"},
	} {
		_, err := boltfile.Open(c.path, 0o600, bbolt.Options{Timeout: time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), c.want) || c.path != "" && strings.Count(err.Error(), c.path) != 1 {
			t.Errorf("%q: %v", c.path, err)
		}
	}
}
