package bolt_test

import (
	"errors"
	"os"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// written makes a file with a stream of some hundred pages.
func written(t *testing.T) (path string) {
	t.Helper()
	path = tempFile(t)
	db := openFile(t, path)
	for range 5 {
		appendAll(t, db.Stream("s"), values(0, 2000))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCutFileIsRefusedAtOpen(t *testing.T) {
	boltfiletest.Cuts(t, written(t), func(path string) error {
		db, err := bolt.Open(path)
		if err == nil {
			db.Close()
		}
		return err
	})
}

// whatGoesOn reads s to its tail and appends to it, as a consumer and a producer do in goroutines of the library.
func whatGoesOn(s *bolt.Stream) (readErr, appendErr error) {
	readErr = func() error {
		r, err := s.OpenReader(ctx, backend.Earliest)
		if err != nil {
			return err
		}
		defer r.Close()
		for {
			if b, err := r.Read(ctx); err != nil || b.CaughtUp {
				return err
			}
		}
	}()
	appendErr = func() error {
		one, err := s.NewAppender(backend.Format{}).Open(ctx)
		if err != nil {
			return err
		}
		defer one.Close()
		if err := one.Send(ctx, 0, values(0, 10)); err != nil {
			return err
		}
		_, err = one.Recv(ctx)
		return err
	}()
	return readErr, appendErr
}

// Damage while the file is in use is an error of reading and of appending that stays, and the process lives on.
func TestDamageInUseIsAnError(t *testing.T) {
	data, err := os.ReadFile(written(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(path string){
		"cut":   func(path string) { boltfiletest.Cut(t, path, int64(4*os.Getpagesize())) },
		"gone":  func(path string) { boltfiletest.Cut(t, path, 0) },
		"pages": func(path string) { boltfiletest.Spoil(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := bolt.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			s := db.Stream("s")
			damage(path)
			for i := range 2 {
				readErr, appendErr := whatGoesOn(s)
				if !errors.Is(readErr, bolt.ErrDamaged) {
					t.Errorf("read %d: %v", i, readErr)
				}
				if !errors.Is(appendErr, bolt.ErrDamaged) || errors.Is(appendErr, backend.ErrTransient) {
					t.Errorf("append %d: %v", i, appendErr)
				}
			}
			_ = db.Close()
		})
	}
}
