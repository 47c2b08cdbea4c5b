package streamlog_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// filled makes a log of ten records "0" to "9", of which the first two are trimmed.
func filled(t *testing.T) (*slowStore, *streamlog.Log) {
	t.Helper()
	s := newSlowStore()
	s.auto = true
	log := newLog(s, backend.Limits{})
	send(t, open(t, log.NewAppender(backend.Format{})), 0, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	if err := log.Trim(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	return s, log
}

func read(t *testing.T, r backend.Reader) backend.Batch {
	t.Helper()
	b, err := r.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStarts(t *testing.T) {
	_, log := filled(t)
	for from, want := range map[backend.Offset]string{
		backend.Earliest: "2", backend.Latest: "", backend.Last(3): "7", backend.Last(99): "2",
		backend.AtTime(time.Now()): "", "2": "2", "9": "9", "10": "",
	} {
		r, err := log.OpenReader(ctx, from)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		b := read(t, r)
		if !b.CaughtUp || b.Next != "10" {
			t.Errorf("%s: next %q, caught up %v", from, b.Next, b.CaughtUp)
		}
		if want == "" && len(b.Records) != 0 || want != "" && (len(b.Records) == 0 || string(b.Records[0].Value) != want) {
			t.Errorf("%s: %d records, want them from %q", from, len(b.Records), want)
		}
	}
	for _, from := range []backend.Offset{"", "0", "1", "11", "02", "-1", "+2", "2.0", "@", "@earliest ", "@tail", "x/2", "18446744073709551616"} {
		_, err := log.OpenReader(ctx, from)
		wantErr(t, err, backend.ErrOutOfRange)
	}
}

func TestFirstReadDoesNotWait(t *testing.T) {
	for _, from := range []backend.Offset{backend.Earliest, backend.Latest, backend.Last(1), "0"} {
		r, err := newLog(newSlowStore(), backend.Limits{}).OpenReader(ctx, from)
		if err != nil {
			t.Fatal(err)
		}
		if b := read(t, r); len(b.Records) != 0 || b.Next != "0" || !b.CaughtUp {
			t.Errorf("%s: %+v", from, b)
		}
	}
}

func TestReaderFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore()
		log := newLog(s, backend.Limits{})
		r, err := log.OpenReader(ctx, backend.Latest)
		if err != nil {
			t.Fatal(err)
		}
		read(t, r)
		got := make(chan backend.Batch, 1)
		go func() {
			b, _ := r.Read(ctx)
			got <- b
		}()
		one := open(t, log.NewAppender(backend.Format{}))
		send(t, one, 0, "a")
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("a record was read before it was durable")
		}
		s.step(nil)
		if b := <-got; len(b.Records) != 1 || b.Next != "1" || !b.CaughtUp {
			t.Fatalf("%+v", b)
		}
	})
}

func TestReaderOfAClosedStream(t *testing.T) {
	_, log := filled(t)
	r, err := log.OpenReader(ctx, "9")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if b := read(t, r); len(b.Records) != 1 {
		t.Fatalf("%+v", b)
	}
	for range 2 {
		if _, err := r.Read(ctx); err != io.EOF {
			t.Fatalf("got %v, want io.EOF", err)
		}
	}
}

func TestTrimUnderAReader(t *testing.T) {
	s, log := filled(t)
	early, _ := log.OpenReader(ctx, backend.Earliest)
	exact, _ := log.OpenReader(ctx, "2")
	if err := log.Trim(ctx, "5"); err != nil {
		t.Fatal(err)
	}
	if b := read(t, early); string(b.Records[0].Value) != "5" {
		t.Fatalf("from Earliest: %q", b.Records[0].Value)
	}
	_, err := exact.Read(ctx)
	wantErr(t, err, backend.ErrOutOfRange)

	// The trim may also come between looking at the state and reading.
	exact, _ = log.OpenReader(ctx, "5")
	s.reading = func() {
		s.reading = nil
		if err := log.Trim(ctx, backend.Latest); err != nil {
			t.Error(err)
		}
	}
	_, err = exact.Read(ctx)
	wantErr(t, err, backend.ErrOutOfRange)
	wantErr(t, log.Trim(ctx, "11"), backend.ErrOutOfRange)
	if err := log.Trim(ctx, "1"); err != nil { // already trimmed
		t.Fatal(err)
	}
}

func TestReaderIsDeadAfterItsFirstError(t *testing.T) {
	_, log := filled(t)
	r, _ := log.OpenReader(ctx, backend.Earliest)
	short, cancel := context.WithCancel(ctx)
	cancel()
	_, err := r.Read(short)
	wantErr(t, err, backend.ErrTransient, context.Canceled)
	if _, again := r.Read(ctx); !errors.Is(again, context.Canceled) {
		t.Fatalf("the second Read says %v", again)
	}
	_, err = log.OpenReader(short, backend.Earliest)
	wantErr(t, err, backend.ErrTransient, context.Canceled)
}

func TestCloseEndsABlockedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newLog(newSlowStore(), backend.Limits{}).OpenReader(ctx, backend.Earliest)
		read(t, r)
		got := make(chan error, 1)
		go func() {
			_, err := r.Read(ctx)
			got <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		wantErr(t, <-got, backend.ErrClosed)
	})
}
