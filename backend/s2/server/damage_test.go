package server_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// keptFile is a data file with one stream of 1 MB.
func keptFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s2.db")
	s, err := startOn(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, s)
	for range 10 {
		p.append("s", `{"body":"`+strings.Repeat("x", 100_000)+`"}`)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func startOn(path string) (*s2test.Server, error) {
	return s2test.Start(s2test.Data(path), s2test.Basin(testBasin, true))
}

func TestCutFileIsRefusedAtOpen(t *testing.T) {
	boltfiletest.Cuts(t, keptFile(t), func(path string) error {
		s, err := startOn(path)
		if err == nil {
			s.Close()
		}
		return err
	})
}

// If the file is damaged while it is in use, a request that meets the damage gets a 500, and the process goes on.
func TestDamageInUseIsAnError(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"cut":   func(path string) { boltfiletest.Cut(t, path, int64(4*os.Getpagesize())) },
		"gone":  func(path string) { boltfiletest.Cut(t, path, 0) },
		"pages": func(path string) { boltfiletest.Spoil(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := keptFile(t)
			s, err := startOn(path)
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, s)
			damage(path)
			for range 2 {
				p.want(http.StatusInternalServerError, "", "POST", "/streams/s/records", `{"records":[{}]}`)
				p.want(http.StatusInternalServerError, "", "GET", "/streams/s/records?seq_num=0", "")
			}
			_ = s.Close()
			if s, err := startOn(path); name != "pages" && !errors.Is(err, boltfile.ErrDamaged) {
				t.Errorf("opened again: %v", err)
			} else if err == nil {
				_ = s.Close()
			}
		})
	}
}
