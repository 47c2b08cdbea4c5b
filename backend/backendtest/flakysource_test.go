package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

func filledToy(n int) *toy {
	s := newToy()
	for i := range n {
		s.recs = append(s.recs, backend.Record{Value: fmt.Appendf(nil, "%d", i)})
	}
	return s
}

// readOn reads until an error and returns the values, where to go on, and the error.
func readOn(ctx context.Context, r backend.Reader) (values string, next backend.Offset, err error) {
	var all []string
	for {
		b, err := r.Read(ctx)
		if err != nil {
			return strings.Join(all, " "), next, err
		}
		next = b.Next
		for _, rec := range b.Records {
			all = append(all, string(rec.Value))
		}
	}
}

func TestFlakySource(t *testing.T) {
	drop := func(b backend.Batch) backend.Batch { b.Records = b.Records[1:]; return b }
	for _, test := range []struct {
		name  string
		fault Fault
		first string // what is read before the fault
		next  backend.Offset
		is    error
	}{
		{"fail", Nth(OnRead, 2, Fail(backend.ErrUnauthorized)), "0 1 2 3 4 5 6", "toy:7", backend.ErrUnauthorized},
		{"truncate", Nth(OnRead, 2, Truncate(2)), "0 1 2 3 4 5 6 7 8", "toy:9", backend.ErrTransient},
		{"truncate to nothing", Nth(OnRead, 2, Truncate(0)), "0 1 2 3 4 5 6", "toy:7", backend.ErrTransient},
		{"truncate nothing", Nth(OnRead, 1, Truncate(7)), "0 1 2 3 4 5 6", "toy:7", backend.ErrTransient},
		{"forge", Nth(OnRead, 1, ForgeBatch(drop)), "1 2 3 4 5 6 7 8 9", "toy:10", io.EOF},
		{"lifetime", Every(OnOpenReader, 1, Lifetime(0, backend.ErrFenced)), "", "", backend.ErrFenced},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := filledToy(10)
				store.finished = true
				source := NewFlakySource(store, test.fault)
				r, err := source.OpenReader(t.Context(), backend.Earliest)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				values, next, err := readOn(t.Context(), r)
				if values != test.first || next != test.next || !errors.Is(err, test.is) {
					t.Errorf("read %q up to %q and %v", values, next, err)
				}
				if _, err := r.Read(t.Context()); !errors.Is(err, test.is) {
					t.Errorf("Read after an error: %v", err)
				}
			})
		})
	}
}

func TestFlakySourceEndsABlockedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := NewFlakySource(newToy(), Nth(OnOpenReader, 1, Fail(nil)), Nth(OnOpenReader, 4, Lifetime(time.Minute, nil)),
			Nth(OnRead, 7, Hang()))
		if _, err := source.OpenReader(t.Context(), backend.Earliest); !errors.Is(err, backend.ErrTransient) {
			t.Errorf("first opening: %v", err)
		}
		for _, test := range []struct {
			cause func(backend.Reader)
			is    error
		}{
			{func(backend.Reader) { source.Break(nil) }, backend.ErrTransient},
			{func(r backend.Reader) { r.Close() }, backend.ErrClosed},
			{func(backend.Reader) { <-time.After(time.Minute) }, backend.ErrTransient}, // its lifetime
			{func(r backend.Reader) { r.Close() }, backend.ErrClosed},                  // hanging before the call
		} {
			r, err := source.OpenReader(t.Context(), backend.Earliest)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { _, _, err := readOn(t.Context(), r); done <- err }()
			synctest.Wait()
			if len(done) > 0 {
				t.Fatalf("Read did not wait: %v", <-done)
			}
			test.cause(r)
			if err := <-done; !errors.Is(err, test.is) {
				t.Errorf("ended with %v, want %v", err, test.is)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A consumer may wait without a goroutine in Read. It must learn of every end of its reader all the same.
func TestFlakySourceEndsTheWaitOfANotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := NewFlakySource(newToy(), Nth(OnOpenReader, 3, Lifetime(time.Minute, nil)))
		for _, test := range []struct {
			cause func(backend.Reader)
			is    error
		}{
			{func(backend.Reader) { source.Break(nil) }, backend.ErrTransient},
			{func(r backend.Reader) { r.Close() }, backend.ErrClosed},
			{func(backend.Reader) { <-time.After(time.Minute) }, backend.ErrTransient}, // its lifetime
		} {
			r, err := source.OpenReader(t.Context(), backend.Earliest)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(t.Context()); err != nil { // the first Read does not wait
				t.Fatal(err)
			}
			var calls atomic.Int64
			if r.(backend.Notifier).Notify(func() { calls.Add(1) }) || calls.Load() > 0 {
				t.Fatalf("Notify did not wait, or called the function %d times", calls.Load())
			}
			test.cause(r)
			synctest.Wait()
			if _, err := r.Read(t.Context()); !errors.Is(err, test.is) || calls.Load() != 1 {
				t.Errorf("ended with %v after %d calls, want %v after 1", err, calls.Load(), test.is)
			}
			if !r.(backend.Notifier).Notify(func() { calls.Add(1) }) {
				t.Error("a reader that has ended would wait")
			}
			if err := r.Close(); err != nil || calls.Load() != 1 {
				t.Errorf("Close: %v, %d calls", err, calls.Load())
			}
		}
	})
}

// A run at random must be reproducible from its seed.
func TestRandomIsReproducible(t *testing.T) {
	const seed = 42
	decide := func() (all []string) {
		f := Random(seed, 0.3)
		for n := range 200 {
			for _, op := range []Op{OnOpen, OnSend, OnAck, OnOpenReader, OnRead, OnClose} {
				e := f(Call{Op: op, N: n})
				if e.kind != "" && !e.fits(op) {
					t.Errorf("%s on %s", e.kind, op)
				}
				all = append(all, string(e.kind))
			}
		}
		return all
	}
	a, b := decide(), decide()
	hit := 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("decision %d: %q and then %q", i, a[i], b[i])
		}
		if a[i] != "" {
			hit++
		}
	}
	if share := float64(hit) / 1000; share < 0.25 || share > 0.35 { // OnClose is spared
		t.Errorf("0.3 was asked for and %v was hit", share)
	}
}
