package server

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
	"github.com/headrace/headrace/internal/committer"
)

func newServer(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// kept is a server with one stream in a file.
type kept struct {
	t    *testing.T
	path string
	srv  *Server
	s    *stream
}

func newKept(t *testing.T) *kept {
	t.Helper()
	k := &kept{t: t, path: filepath.Join(t.TempDir(), "s2.db")}
	k.open()
	return k
}

func (k *kept) open() {
	k.t.Helper()
	k.srv = newServer(k.t, Config{Basins: []Basin{{"test-basin", true}}, Data: k.path})
	var err error
	if k.s, err = k.srv.liveStream("test-basin", "orders", nil, autoAppend); err != nil {
		k.t.Fatal(err)
	}
	if err := k.srv.waitDurable(); err != nil {
		k.t.Fatal(err)
	}
}

// append stores one batch of n bytes, and returns the error if the batch is not stored.
func (k *kept) append(n int) error {
	in := newInput()
	in.add(record{body: bytes.Repeat([]byte("x"), n)})
	done := make(chan error, 1)
	if err := k.s.append(k.srv, in, func(_ ack, err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

func (k *kept) wantTail(want uint64) {
	k.t.Helper()
	if tail, err := k.s.liveTail(); err != nil || tail.SeqNum != want {
		k.t.Errorf("tail %d, %v, want %d", tail.SeqNum, err, want)
	}
}

// After a failed commit the server stores nothing more, whether or not the batch of the commit is stored. The next batch has
// the next place, so storing it would leave a hole. After the file is opened again, the tail shows what is stored.
func TestFailedCommitEndsTheStoring(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(*bbolt.Tx) error // after which the commit fails
		cause  error
		stored uint64
	}{
		"nothing stored":  {(*bbolt.Tx).Rollback, committer.ErrNotStored, 1},
		"unknown outcome": {(*bbolt.Tx).Commit, committer.ErrUnknown, 2},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept(t)
			if err := k.append(1); err != nil {
				t.Fatal(err)
			}
			k.srv.store.committer.CommitTx = func(tx *bbolt.Tx) error {
				return errors.Join(errors.New("input/output error"), test.end(tx))
			}
			if err := k.append(1); !errors.Is(err, test.cause) {
				t.Errorf("%v, want %v", err, test.cause)
			}
			k.srv.store.committer.CommitTx = (*bbolt.Tx).Commit
			if err := k.append(1); !errors.Is(err, test.cause) {
				t.Errorf("behind it: %v, want the same failure", err)
			}
			k.wantTail(1)
			if err := k.srv.Close(); err != nil {
				t.Fatal(err)
			}
			k.open()
			k.wantTail(test.stored)
			if err := k.append(1); err != nil {
				t.Error(err)
			}
		})
	}
}

// On a full disk, the server stores nothing more after the first batch that does not fit. When there is room again, the file
// can be opened again, and appends work.
func TestFullDiskEndsTheStoring(t *testing.T) {
	k := newKept(t)
	if err := k.append(1); err != nil {
		t.Fatal(err)
	}
	free := boltfiletest.FullDisk(t, k.path)
	stored := uint64(1)
	for ; k.append(1<<20) == nil; stored++ {
		if stored > 100 {
			t.Fatal("the disk is not full")
		}
	}
	k.wantTail(stored)
	free()
	if err := k.append(1); !errors.Is(err, committer.ErrNotStored) {
		t.Errorf("behind it: %v, want the same failure", err)
	}
	if err := k.srv.Close(); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.wantTail(stored)
	if err := k.append(1); err != nil {
		t.Error(err)
	}
}
