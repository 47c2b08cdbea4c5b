package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

func TestEverythingSurvivesAReopen(t *testing.T) {
	path := tempFile(t)
	want := []backend.Record{
		{Value: []byte("plain"), Time: time.Unix(1, 5).UTC()},
		{Value: []byte{}, Time: time.Unix(0, 0).UTC()},
		{Value: bytes.Repeat([]byte{0xff, 0}, 50_000), Time: time.Unix(-5, 0).UTC()},
		{Value: []byte("headers"), Time: time.Unix(1e9, 1).UTC(), Headers: backend.Headers{{Name: "", Value: nil}, {Name: "a\x00", Value: []byte{1, 2}}, {Name: "a\x00", Value: []byte("again")}}},
	}
	db := openFile(t, path)
	s := db.Stream("orders")
	one, err := s.NewAppender(backend.Format{ContentType: "text/x"}).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Send(ctx, 0, want); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Recv(ctx); err != nil {
		t.Fatal(err)
	}
	one.Close()
	if err := s.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = openFile(t, path)
	s = db.Stream("orders")
	got := readAll(t, s, backend.Earliest)
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].Value, want[i].Value) || !got[i].Time.Equal(want[i].Time) || len(got[i].Headers) != len(want[i].Headers) {
			t.Errorf("record %d: %v, want %v", i, got[i], want[i])
		}
		for j, h := range want[i].Headers {
			if g := got[i].Headers[j]; g.Name != h.Name || !bytes.Equal(g.Value, h.Value) {
				t.Errorf("record %d, header %d: %v, want %v", i, j, g, h)
			}
		}
	}
	if _, err := s.NewAppender(backend.Format{}).Open(ctx); !errors.Is(err, backend.ErrStreamClosed) {
		t.Errorf("append to a stream closed for good: %v", err)
	}
	r, err := s.OpenReader(ctx, "4")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.Read(ctx); err != nil || !b.CaughtUp {
		t.Fatalf("first read: %+v, %v", b, err)
	}
	if _, err := r.Read(ctx); err != io.EOF {
		t.Errorf("behind the last record: %v", err)
	}
}

// Batches of all sizes, read from every place.
func TestResumeAtEveryRecord(t *testing.T) {
	db := openFile(t, tempFile(t))
	s := db.Stream("s")
	rng := rand.New(rand.NewPCG(1, 2))
	n := 0
	var batches [][]backend.Record
	for n < 2000 {
		size := 1 + rng.IntN(300)
		batches = append(batches, values(n, n+size))
		n += size
	}
	appendAll(t, s, batches...)
	for from := 0; from <= n; from += 1 + rng.IntN(40) {
		wantValues(t, readAll(t, s, backend.Offset(fmt.Sprint(from))), from, n)
	}
}

func TestTrimAndSweep(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	s := db.Stream("s")
	var batches [][]backend.Record
	for i := range 2500 { // more blocks than one round drops
		batches = append(batches, values(i, i+1))
	}
	one := session(t, s)
	sent := make(chan error, 1)
	go func() {
		for i, b := range batches { // pipelined, or the test takes 2500 fsyncs
			if err := one.Send(ctx, uint64(i), b); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range batches {
		if _, err := one.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(ctx, "2400"); err != nil {
		t.Fatal(err)
	}
	wantValues(t, readAll(t, s, backend.Earliest), 2400, 2500)
	if _, err := s.OpenReader(ctx, "2399"); !errors.Is(err, backend.ErrOutOfRange) {
		t.Fatalf("trimmed place: %v", err)
	}
	if err := s.Trim(ctx, backend.Latest); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // waits for the committer, and so for the sweeps queued before
		t.Fatal(err)
	}

	db = openFile(t, path)
	s = db.Stream("s")
	if got := readAll(t, s, backend.Earliest); len(got) != 0 {
		t.Fatalf("%d records left", len(got))
	}
	appendAll(t, s, values(2500, 2501))
	wantValues(t, readAll(t, s, backend.Last(5)), 2500, 2501)
	if err := s.Trim(ctx, backend.Latest); err != nil { // goes on with what the Close cut off
		t.Fatal(err)
	}
	if err := s.Trim(ctx, "2501"); err != nil {
		t.Fatal(err)
	}
}

func TestAtTime(t *testing.T) {
	db := openFile(t, tempFile(t))
	s := db.Stream("s")
	rng := rand.New(rand.NewPCG(3, 4))
	var all []backend.Record
	for range 40 {
		recs := values(len(all), len(all)+1+rng.IntN(150))
		for i := range recs {
			recs[i].Time = time.Unix(int64(1000+len(all)+rng.IntN(50)), 0).UTC() // not in order
		}
		all = append(all, recs...)
		appendAll(t, s, recs)
	}
	check := func(head int) {
		t.Helper()
		for sec := int64(900); sec < int64(len(all))+1200; sec += 7 {
			at := time.Unix(sec, 0)
			want := slices.IndexFunc(all[head:], func(r backend.Record) bool { return !r.Time.Before(at) })
			if want < 0 {
				want = len(all) - head
			}
			if got := readAll(t, s, backend.AtTime(at)); len(got) != len(all)-head-want {
				t.Fatalf("from %d on, head %d: %d records, want %d", sec, head, len(got), len(all)-head-want)
			}
		}
	}
	check(0)
	if err := s.Trim(ctx, "777"); err != nil {
		t.Fatal(err)
	}
	check(777)
}

func TestManyStreamsInOneFile(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	for i := range 20 {
		appendAll(t, db.Stream(fmt.Sprintf("s%02d", i)), values(0, i+1))
	}
	if got := len(readAll(t, db.Stream("none"), backend.Earliest)); got != 0 {
		t.Fatalf("a stream nobody wrote to has %d records", got)
	}
	// Something else lives in the same file.
	err := db.Bolt().Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("mine"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names, err := db.Streams()
	if err != nil || len(names) != 20 || names[7] != "s07" {
		t.Fatalf("%q, %v", names, err)
	}
	for i := range 20 {
		wantValues(t, readAll(t, db.Stream(fmt.Sprintf("s%02d", i)), backend.Earliest), 0, i+1)
	}
}

func TestDelete(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	s := db.Stream("s")
	appendAll(t, s, values(0, 5000))
	r, err := s.OpenReader(ctx, backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	one := session(t, s)
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "s"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := r.Read(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("reader: %v", err)
	}
	if _, err := one.Recv(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("session: %v", err)
	}
	if err := s.Trim(ctx, backend.Earliest); err == nil {
		t.Error("a trim of a deleted stream")
	}
	s = db.Stream("s")
	appendAll(t, s, values(0, 1))
	wantValues(t, readAll(t, s, backend.Earliest), 0, 1)
}

func TestNames(t *testing.T) {
	db := openFile(t, tempFile(t))
	for _, name := range []string{"", string(make([]byte, 513))} {
		if _, err := db.Stream(name).NewAppender(backend.Format{}).Open(ctx); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("name of %d bytes: %v", len(name), err)
		}
	}
	long := string(bytes.Repeat([]byte("x"), 512))
	appendAll(t, db.Stream(long), values(0, 1))
	appendAll(t, db.Stream("a/ü\x00"), values(0, 1))
}

func TestContentTypeIsKept(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	open := func(contentType string) error {
		one, err := db.Stream("s").NewAppender(backend.Format{ContentType: contentType}).Open(ctx)
		if err == nil {
			err = one.Close()
		}
		return err
	}
	if err := open("application/json"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFile(t, path)
	if err := open("text/plain"); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("another content type: %v", err)
	}
	if err := errors.Join(open("application/json"), open("")); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	db, err := bolt.Open(tempFile(t))
	if err != nil {
		t.Fatal(err)
	}
	s := db.Stream("s")
	one := session(t, s)
	if err := one.Send(ctx, 0, values(0, 1)); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ack, err := one.Recv(ctx); err != nil || ack.Seq != 0 {
		t.Errorf("what was taken before is committed by Close: %v", err)
	}
	_, err = one.Recv(ctx)
	_, readErr := r.Read(ctx)
	_, openErr := s.NewAppender(backend.Format{}).Open(ctx)
	_, newErr := db.Stream("other").OpenReader(ctx, backend.Earliest)
	_, listErr := db.Streams()
	for what, err := range map[string]error{
		"recv": err, "send": one.Send(ctx, 1, values(1, 2)), "read": readErr, "open": openErr, "trim": s.Trim(ctx, "1"),
		"new stream": newErr, "list": listErr, "delete": db.Delete(ctx, "s"), "seal": s.Seal(ctx),
	} {
		if !errors.Is(err, backend.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
