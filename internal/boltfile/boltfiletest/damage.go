// Package boltfiletest damages bbolt files, for tests of packages with such files.
package boltfiletest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
)

// Cuts calls open with cut copies of the file at path: cut to a half, to a third, by one page, to nothing. open must
// refuse every copy with an error that contains the name of the copy. The file must not be open.
func Cuts(t *testing.T, path string, open func(path string) error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := Used(t, path)
	for name, n := range map[string]int64{"half": used / 2, "third": used / 3, "one page short": used - int64(os.Getpagesize()), "empty": 0} {
		cut := path + ".cut"
		if err := os.WriteFile(cut, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(cut); !errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), cut) {
			t.Errorf("%s, %d of %d bytes: %v, want damage that names %s", name, n, used, err, cut)
		}
	}
}

// Used returns the size of all pages that bbolt may touch, in bytes. The rest of the file at path is empty space for
// growth. The file must not be open.
func Used(t *testing.T, path string) (n int64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Spoil damages every leaf page of the file at path, while the file is in use: Spoil overwrites the page number at the
// beginning of the page. All keys and values are on leaf pages. So every lookup meets the damage, wherever bbolt has
// put the data.
func Spoil(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spoiled, page := 0, os.Getpagesize()
	for id := 2; id < len(data)/page; id++ { // the first two pages are meta pages
		head := data[id*page:]
		if binary.NativeEndian.Uint64(head) != uint64(id) || binary.NativeEndian.Uint16(head[8:]) != leafPage {
			continue
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 8), int64(id*page)); err != nil {
			t.Fatal(err)
		}
		spoiled++
	}
	if spoiled == 0 {
		t.Fatalf("no leaf page in %d bytes", len(data))
	}
}

// leafPage is the flag of a leaf page. bbolt stores the flag behind the page number.
const leafPage = 2

// Cut shortens the file at path to n bytes while it is in use.
func Cut(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Skipf("a file in use cannot be cut here: %v", err)
	}
}
