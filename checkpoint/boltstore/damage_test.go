package boltstore

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// The database belongs to the caller, who opens it; what happens to the file afterwards is an error of every call.
func TestDamageInUseIsAnError(t *testing.T) {
	s, cp := savedStore(t)
	path := s.db.Path()
	boltfiletest.Cut(t, path, int64(2*os.Getpagesize()))
	for i, err := range errorsOf(t, s, cp) {
		if !errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
