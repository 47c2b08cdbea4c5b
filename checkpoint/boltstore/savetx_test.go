package boltstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
)

var effects = []byte("effects")

// apply makes the effect of record n, which must not have been made before.
func apply(tx *bbolt.Tx, n int) error {
	b, err := tx.CreateBucketIfNotExists(effects)
	if err != nil {
		return err
	}
	key := fmt.Appendf(nil, "%08d", n)
	if b.Get(key) != nil {
		return fmt.Errorf("record %d was applied before", n)
	}
	return b.Put(key, []byte{1})
}

// applied returns how many effects there are, and fails when one is missing in between.
func applied(t *testing.T, db *bbolt.DB) (n int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(effects)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, _ []byte) error {
			if n++; string(k) != fmt.Sprintf("%08d", n) {
				return fmt.Errorf("effect %s where %d was expected", k, n)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const childPath = "HEADRACE_BOLTSTORE_CHILD"

// child applies records 1, 2, 3, … from its checkpoint on, each in one commit with its offset, until it is killed.
func child(path string) int {
	err := func() error {
		db, err := bbolt.Open(path, 0o644, nil)
		if err != nil {
			return err
		}
		s := New(db, "checkpoints")
		cp, err := s.Claim(context.Background(), "k")
		if err != nil {
			return err
		}
		last, _ := strconv.Atoi(string(cp.Offset)) // "" before the first record
		for n := last + 1; ; n++ {
			cp.Offset = backend.Offset(strconv.Itoa(n))
			err := db.Update(func(tx *bbolt.Tx) error {
				if err := apply(tx, n); err != nil {
					return err
				}
				return s.SaveTx(tx, "k", cp)
			})
			if err != nil {
				return err
			}
			fmt.Println(n)
		}
	}()
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestSaveTxSurvivesKill: whenever the process is killed, what is applied and what the checkpoint says are the same.
func TestSaveTxSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 12 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), childPath+"="+path)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewScanner(pipe)
		said := 0
		for n := 1 + rand.IntN(10); n > 0 && out.Scan(); n-- {
			said, _ = strconv.Atoi(out.Text())
		}
		_ = cmd.Process.Kill()
		for out.Scan() {
			said, _ = strconv.Atoi(out.Text())
		}
		_ = cmd.Wait()

		db := openDB(t, path, nil)
		n := applied(t, db)
		cp, err := New(db, "checkpoints").Load(t.Context(), "k")
		if err != nil || string(cp.Offset) != strconv.Itoa(n) || n < max(said, 1) || cp.Epoch != uint64(round)+1 {
			t.Fatalf("round %d: %d records are applied, the process said %d, the checkpoint is %v, %v", round, n, said, cp, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSaveTxFencedTakesTheEffectBack: the older consumer's effect is not kept beside the newer one's.
func TestSaveTxFencedTakesTheEffectBack(t *testing.T) {
	s, older := savedStore(t)
	if _, err := s.Claim(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	older.Offset = "42"
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if err := apply(tx, 1); err != nil {
			return err
		}
		return s.SaveTx(tx, "k", older)
	})
	if !errors.Is(err, backend.ErrFenced) {
		t.Errorf("SaveTx: %v, want ErrFenced", err)
	}
	if n := applied(t, s.db); n != 0 {
		t.Errorf("%d effects of the fenced consumer are kept", n)
	}
}

// TestSaveTxRolledBack: the checkpoint goes where the transaction goes.
func TestSaveTxRolledBack(t *testing.T) {
	s, held := savedStore(t)
	tx, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveTx(tx, "k", checkpoint.Checkpoint{Offset: "42", Epoch: held.Epoch}); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context(), "k"); err != nil || got != held {
		t.Errorf("Load: %v, %v; want %v", got, err, held)
	}
	if err := s.SaveTx(tx, "k", held); !errors.Is(err, bolterrors.ErrTxClosed) {
		t.Errorf("SaveTx after the rollback: %v, want ErrTxClosed", err)
	}
}

func TestSaveTxRefusesForeignTransactions(t *testing.T) {
	s, cp := savedStore(t)
	other, _ := savedStore(t)
	err := other.db.Update(func(tx *bbolt.Tx) error { return s.SaveTx(tx, "k", cp) })
	if !errors.Is(err, backend.ErrRejected) {
		t.Errorf("SaveTx in another database: %v, want ErrRejected", err)
	}
	err = s.db.View(func(tx *bbolt.Tx) error { return s.SaveTx(tx, "k", cp) })
	if !errors.Is(err, bolterrors.ErrTxNotWritable) {
		t.Errorf("SaveTx in a read transaction: %v, want ErrTxNotWritable", err)
	}
}

// TestSharesTheFileOfAStream: stream, effects and checkpoints in one file, which survives closing.
func TestSharesTheFileOfAStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	var cp checkpoint.Checkpoint
	for round := range 2 {
		file, err := bolt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		ses, err := file.Stream("orders").NewAppender(backend.Format{}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := New(file.Bolt(), "checkpoints")
		claimed, err := s.Claim(t.Context(), "orders/k")
		if err != nil || claimed.Offset != cp.Offset || claimed.Epoch != uint64(round)+1 {
			t.Fatalf("round %d: Claim: %v, %v; want it to go on from %v", round, claimed, err, cp)
		}
		if err := ses.Send(t.Context(), 0, []backend.Record{{Value: []byte("order")}}); err != nil {
			t.Fatal(err)
		}
		ack, err := ses.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cp = checkpoint.Checkpoint{Offset: ack.Next, Epoch: claimed.Epoch}
		if err := file.Bolt().Update(func(tx *bbolt.Tx) error { return s.SaveTx(tx, "orders/k", cp) }); err != nil {
			t.Error(err)
		}
		if names, err := file.Streams(); err != nil || len(names) != 1 {
			t.Errorf("the checkpoints look like a stream: %q, %v", names, err)
		}
		if err := errors.Join(ses.Close(), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
