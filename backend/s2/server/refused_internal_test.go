package server

import (
	"errors"
	"path/filepath"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
)

// A refusal tells the client what the stream holds, so it must rest on durable batches only. A batch that is not durable
// may never become part of the stream.
func TestARefusalIsSaidOnceWhatItGoesByIsDurable(t *testing.T) {
	broken := errors.New("no space left")
	for name, failure := range map[string]error{"stored": nil, "not stored": broken} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, Config{Basins: []Basin{{"test-basin", true}}, Data: filepath.Join(t.TempDir(), "s2.db")})
			st, err := srv.liveStream("test-basin", "orders", nil, autoAppend)
			if err != nil {
				t.Fatal(err)
			}
			if err := srv.waitDurable(); err != nil {
				t.Fatal(err)
			}
			begun, release := make(chan struct{}), make(chan struct{})
			srv.store.enqueue(0, func(*bbolt.Tx) error { close(begun); <-release; return failure }, func(error) {})
			<-begun // later batches are committed behind this one
			first := make(chan error, 1)
			if err := st.append(srv, oneRecord(nil), func(_ ack, err error) { first <- err }); err != nil {
				t.Fatal(err)
			}
			type refused struct {
				err  error
				tail uint64
			}
			second := make(chan refused, 1)
			begin := uint64(0)
			go func() {
				err := st.append(srv, oneRecord(&begin), func(ack, error) { t.Error("a batch for a place that is taken is stored") })
				tail, _ := st.liveTail()
				second <- refused{err, tail.SeqNum}
			}()
			for len(second) == 0 && srv.store.committer.Queued() < 2 { // the first batch, and the refusal that waits behind it
				runtime.Gosched()
			}
			if len(second) > 0 {
				t.Error("refused before the batch that this goes by was durable")
			}
			close(release)
			if err := <-first; !errors.Is(err, failure) {
				t.Fatalf("the first batch: %v, want %v", err, failure)
			}
			got := <-second
			var refusal *apiError
			if isRefusal := errors.As(got.err, &refusal); isRefusal != (failure == nil) {
				t.Errorf("refused with %v while the store said %v", got.err, failure)
			}
			if failure == nil && got.tail != 1 {
				t.Errorf("refused at tail %d, want 1", got.tail)
			}
		})
	}
}

func oneRecord(match *uint64) *input {
	in := newInput()
	in.add(record{body: []byte("value")})
	if match != nil {
		in.match, in.hasMatch = *match, true
	}
	return in
}
