package s2_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

const basinName = "test-basin"

var streamNo atomic.Int64

// streamName is one that no other test uses.
func streamName() string { return fmt.Sprintf("orders/%d", streamNo.Add(1)) }

// dial makes a client of srv that is closed with the test.
func dial(t testing.TB, srv *s2test.Server, opts ...s2.Option) *s2.Client {
	t.Helper()
	c, err := s2.New(srv.Config(), patient(opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// patient returns opts with longer times than the defaults of 3 s and 5 s, unless opts say otherwise. A machine may be too busy to connect
// to itself, and to answer itself, within these.
func patient(opts ...s2.Option) []s2.Option {
	return append([]s2.Option{s2.ConnectTimeout(time.Minute), s2.Timeout(time.Minute)}, opts...)
}

// serve starts a server that keeps its records in "memory" or in "bolt". With auto, streams need not be created.
func serve(t testing.TB, store string, auto bool) *s2test.Server {
	t.Helper()
	// A reader gives up its session only after some heartbeats.
	opts := []s2test.Option{s2test.Basin(basinName, auto), s2test.TrimDelay(0), s2test.Heartbeat(5*time.Millisecond, 15*time.Millisecond)}
	if store == "bolt" {
		opts = append(opts, s2test.Data(filepath.Join(t.TempDir(), "s2.db")))
	}
	return s2test.New(t, opts...)
}

// harness describes what S2 keeps. client and stream make the variants; prepare sees each server, if it is not nil.
func harness(store string, prepare func(testing.TB, *s2test.Server), client []s2.Option, stream ...s2.StreamOption) backendtest.Harness {
	h := backendtest.Harness{
		Headers: true,
		Times:   time.Millisecond, TimesAscend: true,
		Late:    true,
		Offsets: true,
		Last:    true,
		AtTime:  true,
		Hidden:  true, // command records
		Foreign: []backend.Offset{"00", "1/2", "-1", "1.0", "99999999999999999999"},
	}
	h.Open = func(t testing.TB) backendtest.Target {
		srv := serve(t, store, false)
		c := dial(t, srv, client...)
		b := c.Basin(basinName)
		name := streamName()
		if _, err := manage(c).CreateStream(context.Background(), name, s2.StreamConfig{}); err != nil {
			t.Fatal(err)
		}
		if prepare != nil {
			prepare(t, srv)
		}
		st := b.Stream(name, stream...)
		missing := b.Stream("no-such-stream", stream...)
		return backendtest.Target{
			Sink: st, Source: st, Break: srv.DropConnections,
			Trim:        func(before backend.Offset) error { return trim(st, before) },
			MissingSink: missing, MissingSource: missing,
		}
	}
	return h
}

// trim returns when the records are unreadable: S2 removes them in its own time.
func trim(st *s2.Stream, before backend.Offset) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tail, err := st.CheckTail(ctx)
	if err != nil {
		return err
	}
	seq := tail.SeqNum
	if before != backend.Latest {
		if seq, err = s2.SeqNum(before); err != nil {
			return err
		}
	}
	if err := st.Trim(ctx, before); err != nil {
		return err
	}
	for seq > 0 {
		got, err := st.Read(ctx, s2.Range{From: backend.Earliest, Count: 1})
		if errors.Is(err, backend.ErrOutOfRange) {
			return nil
		}
		if err != nil {
			return err
		}
		if first, _ := s2.SeqNum(got.Records[0].Offset); first >= seq {
			return nil
		}
	}
	return nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) { backendtest.Run(t, harness("memory", nil, nil)) })
	t.Run("bolt", func(t *testing.T) { backendtest.Run(t, harness("bolt", nil, nil)) })
	t.Run("zstd", func(t *testing.T) { backendtest.Run(t, harness("memory", nil, []s2.Option{s2.Zstd()})) })
	t.Run("gzip", func(t *testing.T) { backendtest.Run(t, harness("memory", nil, []s2.Option{s2.Gzip()})) })
	t.Run("events", func(t *testing.T) { backendtest.Run(t, harness("memory", nil, nil, s2.SSE())) })
	t.Run("fenced", func(t *testing.T) {
		h := harness("memory", nil, nil, s2.Exclusive(), s2.Fence(""))
		h.Dedup, h.Exclusive = true, true // Exclusive alone would be a conflict for several producers
		backendtest.Run(t, h)
	})
}
