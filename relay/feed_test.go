package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/relay"
)

// altered is a source whose readers return one record, in a batch that alter changes, then a batch without anything, and
// then fail.
type altered struct {
	backend.Source
	alter func(*backend.Batch)
}

func (s altered) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := s.Source.OpenReader(ctx, from)
	return &alteredReader{Reader: r, alter: s.alter}, err
}

type alteredReader struct {
	backend.Reader
	alter func(*backend.Batch)
	reads int
}

func (r *alteredReader) Read(ctx context.Context) (b backend.Batch, err error) {
	switch r.reads++; r.reads {
	case 1:
		if b, err = r.Reader.Read(ctx); err != nil {
			return b, err
		}
		if len(b.Records) > 1 {
			b = backend.Batch{Records: b.Records[:1], Next: b.Records[0].Next}
		}
		b.Records = slices.Clone(b.Records)
		r.alter(&b)
		return b, nil
	case 2:
		return backend.Batch{}, nil
	}
	return b, fmt.Errorf("the connection is lost: %w", backend.ErrTransient)
}

// A batch with records may say only in its last record where reading goes on, and an empty batch may say nothing.
func TestBatchWithoutNextKeepsThePlace(t *testing.T) {
	from := altered{fill(t, records), func(b *backend.Batch) {
		if len(b.Records) > 0 {
			b.Next = ""
		}
	}}
	to, store := durableStreams(t)(), checkpoint.NewMemory()
	for range 2 { // the second relay starts with the place of the first
		if err := run(t.Context(), newProcess(-1, false), from, to, store); err != nil {
			t.Fatal(err)
		}
		wantAll(t, to, records)
	}
}

// A place that the source does not tell must not get into the checkpoint, because no relay could go on there.
func TestSourceWithoutPlacesIsFaulty(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*backend.Batch)
		opts  []relay.Option
	}{
		"no next at all": {alter: func(b *backend.Batch) {
			b.Next = ""
			for i := range b.Records {
				b.Records[i].Next = ""
			}
		}},
		"a record without an offset": {alter: func(b *backend.Batch) {
			for i := range b.Records {
				b.Records[i].Offset = ""
			}
		}},
		"a relative start without a place": {alter: func(b *backend.Batch) { b.Next = "" }, opts: []relay.Option{relay.StartAt(backend.Latest)}},
	} {
		t.Run(name, func(t *testing.T) {
			to, store, source := durableStreams(t)(), checkpoint.NewMemory(), fill(t, records)
			err := run(t.Context(), newProcess(-1, false), altered{source, c.alter}, to, store, c.opts...)
			if err == nil || !strings.Contains(err.Error(), "the source is faulty") {
				t.Errorf("%v", err)
			}
			if err := run(t.Context(), newProcess(-1, false), source, to, store); err != nil {
				t.Errorf("a later relay of a source in order: %v", err)
			}
			wantAll(t, to, records)
		})
	}
}

func TestPlaceOfARelayIsBehindWhatItHasCopied(t *testing.T) {
	from, to, store := fill(t, records), durableStreams(t)(), checkpoint.NewMemory()
	if err := run(t.Context(), newProcess(-1, false), from, to, store); err != nil {
		t.Fatal(err)
	}
	cp, err := store.Load(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	all := from.Records()
	if at, ok := relay.Place(cp.Offset); !ok || at != all[len(all)-1].Next {
		t.Errorf("%q, %v; want %q", at, ok, all[len(all)-1].Next)
	}
	if at, ok := relay.Place(all[0].Offset); ok {
		t.Errorf("the place of a consumer is taken for one of a relay at %q", at)
	}
}
