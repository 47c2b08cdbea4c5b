package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/bolt"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, harness())
}

func TestConformanceWithSmallLimits(t *testing.T) {
	backendtest.Run(t, harness(bolt.BatchRecords(3), bolt.BatchBytes(300), bolt.RecordBytes(120), bolt.InFlight(1)))
}

func harness(opts ...bolt.StreamOption) backendtest.Harness {
	return backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			return target(t, filepath.Join(t.TempDir(), "streams.db"), opts)
		},
		OtherFormat: backend.Format{ContentType: "text/plain"},
		Headers:     true,
		Times:       time.Nanosecond,
		Offsets:     true,
		Dedup:       true,
		Last:        true,
		AtTime:      true,
	}
}

// target opens the file and says how to end it and open it again, which is all that a restart of the store is.
func target(t testing.TB, path string, opts []bolt.StreamOption) backendtest.Target {
	t.Helper()
	db, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s := db.Stream("s", opts...)
	return backendtest.Target{
		Sink:   s,
		Source: s,
		Trim:   func(before backend.Offset) error { return s.Trim(t.Context(), before) },
		Finish: func() error { return s.Seal(t.Context()) },
		Restart: func(t testing.TB) backendtest.Target {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return target(t, path, opts)
		},
	}
}
