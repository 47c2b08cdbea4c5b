package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

// fill appends batches until one fails. It returns how many records were acknowledged, and the error.
func fill(s *bolt.Stream, a backend.Appender) (acked int, err error) {
	one, err := a.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer one.Close()
	pad := bytes.Repeat([]byte("."), 1000)
	for seq := uint64(0); ; seq++ {
		recs := values(acked, acked+50)
		for i := range recs {
			recs[i].Headers = backend.Headers{{Name: "pad", Value: pad}}
		}
		if err := one.Send(ctx, seq, recs); err != nil {
			return acked, err
		}
		if _, err := one.Recv(ctx); err != nil {
			return acked, err
		}
		acked += len(recs)
	}
}

// checkFull fills the file of db, and checks that the failure is one that may be tried again, that everything acknowledged
// is readable, and that a trim makes room.
func checkFull(t *testing.T, db *bolt.DB) {
	t.Helper()
	s := db.Stream("s")
	n, err := fill(s, s.NewAppender(backend.Format{}))
	if n == 0 || !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Fatalf("after %d records: %v", n, err)
	}
	t.Logf("full after %d records: %v", n, err)
	wantValues(t, readAll(t, s, backend.Earliest), 0, n)
	again, err := fill(s, s.NewAppender(backend.Format{}))
	if again > 50 || !errors.Is(err, backend.ErrTransient) {
		t.Fatalf("still %d records more: %v", again, err)
	}
}

func TestFileBytes(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path, bolt.FileBytes(40<<20))
	checkFull(t, db)
	if info, err := os.Stat(path); err != nil || info.Size() > 40<<20 {
		t.Fatalf("the file has %d bytes, %v", info.Size(), err)
	}
	s := db.Stream("s")
	if err := s.Trim(ctx, backend.Latest); err != nil {
		t.Fatalf("there is no room to make room: %v", err)
	}
	n := len(readAll(t, s, backend.Earliest))
	appendAll(t, s, values(n, n+10))
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 6<<20)
	db := openFile(t, filepath.Join(dir, "streams.db"))
	checkFull(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFile(t, filepath.Join(dir, "streams.db")) // on a disk that is still full
	n := len(readAll(t, db.Stream("s"), backend.Earliest))
	wantValues(t, readAll(t, db.Stream("s"), backend.Earliest), 0, n)
}

// The same without a disk of one's own: the system refuses to let the file of a child process grow.
func TestFileSizeLimit(t *testing.T) {
	path := tempFile(t)
	cmd := child(t, "fill", path)
	if !limitFileSize(t, cmd, 20<<20) {
		return
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var transient bool
	if _, err := fmt.Sscan(string(out), &n, &transient); err != nil || n == 0 || !transient {
		t.Fatalf("child said %q, %v", out, err)
	}
	db := openFile(t, path)
	recs := readAll(t, db.Stream("s"), backend.Earliest)
	if len(recs) != n {
		t.Fatalf("%d records, %d were acknowledged and nothing else was stored", len(recs), n)
	}
	wantValues(t, recs, 0, n)
}

// fillUp is what the child does.
func fillUp(path string) error {
	ignoreFileSizeSignal()
	db, err := bolt.Open(path)
	if err != nil {
		return err
	}
	s := db.Stream("s")
	n, err := fill(s, s.NewAppender(backend.Format{}))
	fmt.Println(n, errors.Is(err, backend.ErrTransient), err)
	return db.Close()
}

func TestCannotOpen(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{"no directory": filepath.Join(dir, "none", "x"), "a directory": dir, "a text": text} {
		if _, err := bolt.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", what, err)
		}
	}
	readOnly := readOnlyDir(t)
	if _, err := bolt.Open(filepath.Join(readOnly, "x")); !errors.Is(err, os.ErrPermission) && !isReadOnly(err) {
		t.Errorf("read-only directory: %v", err)
	}
}
