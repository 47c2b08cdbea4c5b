package durablestreams_test

import (
	"errors"
	"io"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestNextOfInfoIsAPlaceForReaders(t *testing.T) {
	s := jsonStream(t, nil)
	appended, err := s.Append(t.Context(), "application/json", []byte("[1,2]"))
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head(t.Context())
	if err != nil || head.Next != appended.Next {
		t.Fatalf("head says %q and %v, the append %q", head.Next, err, appended.Next)
	}
	if _, err := s.Append(t.Context(), "application/json", []byte("[3,4]")); err != nil {
		t.Fatal(err)
	}
	if got := joined(all(t, s, head.Next)); got != "34" {
		t.Errorf("from Next: %q, want the records behind it", got)
	}
}

func TestCreateTellsWhetherItMadeTheStream(t *testing.T) {
	c, _ := serve(t)
	s := c.Stream("new")
	for _, want := range []bool{true, false} {
		info, err := s.Create(t.Context(), "application/json")
		if err != nil || info.Created != want {
			t.Errorf("created: %v, %v; want %v", info.Created, err, want)
		}
	}
	if info, err := s.Head(t.Context()); err != nil || info.Created {
		t.Errorf("head: created %v, %v", info.Created, err)
	}
}

func TestForkTakesOnlyPlacesAndTheTail(t *testing.T) {
	s := jsonStream(t, nil)
	for at, want := range map[backend.Offset]error{
		"":                backend.ErrOutOfRange,
		"no place":        backend.ErrOutOfRange,
		backend.Earliest:  backend.ErrUnsupported,
		backend.Last(3):   backend.ErrUnsupported,
		"a/b/0/1":         backend.ErrOutOfRange,
		"unknown_token/1": backend.ErrRejected,
	} {
		_, err := s.With().Create(t.Context(), "", durablestreams.ForkOf(s, at))
		if !errors.Is(err, want) || errors.Is(err, backend.ErrTransient) {
			t.Errorf("at %q: %v, want %v", at, err, want)
		}
	}
}

func TestAppendTellsWhatTheServerHasOfTheProducer(t *testing.T) {
	s := jsonStream(t, nil)
	put := func(opts ...durablestreams.AppendOption) durablestreams.Info {
		t.Helper()
		info, err := s.Append(t.Context(), "application/json", []byte("[1]"), opts...)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if info := put(); info.Producer != nil {
		t.Errorf("without an identity: %+v", *info.Producer)
	}
	put(durablestreams.Identity("a", 7, 0))
	put(durablestreams.Identity("a", 7, 1))
	info := put(durablestreams.Identity("a", 7, 0))
	if p := info.Producer; !info.Duplicate || p == nil || *p != (durablestreams.ProducerState{Epoch: 7, Seq: 1}) {
		t.Errorf("of a duplicate: %v, %+v", info.Duplicate, p)
	}
}

func TestSealWithoutDataKeepsToItsIdentity(t *testing.T) {
	s := jsonStream(t, nil)
	put := func(epoch, seq int64) error {
		_, err := s.Append(t.Context(), "application/json", []byte("[1]"), durablestreams.Identity("a", epoch, seq))
		return err
	}
	if err := errors.Join(put(2, 0), put(2, 1)); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []struct {
		epoch, seq int64
		want       error
	}{
		{1, 0, backend.ErrFenced},
		{2, 5, backend.ErrConflict}, // a gap
		{2, 1, backend.ErrConflict}, // an append that did not close
		{-1, 0, backend.ErrRejected},
	} {
		if _, err := s.SealWith(t.Context(), "", nil, durablestreams.Identity("a", wrong.epoch, wrong.seq)); !errors.Is(err, wrong.want) {
			t.Errorf("close as %d of epoch %d: %v, want %v", wrong.seq, wrong.epoch, err, wrong.want)
		}
	}
	for range 2 { // as when the first answer was lost
		info, err := s.SealWith(t.Context(), "", nil, durablestreams.Identity("a", 2, 2))
		if err != nil || !info.Closed || info.Producer == nil || info.Producer.Seq != 2 {
			t.Errorf("%+v, %v", info, err)
		}
	}
	if _, err := s.SealWith(t.Context(), "", nil, durablestreams.Identity("b", 0, 0)); !errors.Is(err, backend.ErrStreamClosed) {
		t.Errorf("a close by another: %v", err)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Errorf("a close of a closed stream: %v", err)
	}
	r, err := s.OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Read(t.Context())
	}
	if err != io.EOF {
		t.Errorf("reading ends with %v", err)
	}
}
